/* The smallest plugin: greets who is named in the task. */
#include <taskwire/plugin.h>

static const struct tw_rule hello_rules[] = {
    {.field = "name", .type = TW_STRING, .min = TW_N(1), .max = TW_N(64)},
};

static int hello_handle(struct tw_call *call, void *state)
{
    (void)state;
    return tw_call_reply_string(call, "greeting", tw_call_string(call, "/name"));
}

static const struct tw_handler hello_handlers[] = {
    {.name = "hello", .handle = hello_handle, TW_RULES(hello_rules)},
};

TW_PLUGIN(.name = "hello", .version = "1.0.0", TW_HANDLERS(hello_handlers));
