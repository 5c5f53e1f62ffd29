/* USER_LOGIN: notes that a user has logged in. Every field may be absent. */
#include <taskwire/plugin.h>

#define FUTURE_ALLOWED (INT64_C(60) * 1000000000) /* clocks differ a little */

static const struct tw_rule login_rules[] = {
    {.field = "userId", .type = TW_STRING, .min = TW_N(1), .max = TW_N(128), .optional = 1},
    {.field = "email", .type = TW_STRING, .format = TW_EMAIL, .optional = 1},
    {.field = "loginTime", .type = TW_STRING, .format = TW_DATE_TIME, .optional = 1},
};

static int login_validate(struct tw_call *call, void *state)
{
    int64_t time;

    (void)state;
    if (tw_call_time(call, &time, "/loginTime") == 0 && time > tw_call_now(call) + FUTURE_ALLOWED)
        return tw_call_reject(call, "/loginTime", "lies in the future");
    return TW_OK;
}

static int login_handle(struct tw_call *call, void *state)
{
    (void)state;
    for (size_t i = 0; i < TW_COUNT(login_rules); i++) {
        const char *text = tw_call_string(call, "/%s", login_rules[i].field);

        if (text != NULL)
            tw_call_reply_string(call, login_rules[i].field, text);
    }
    return tw_call_reply_boolean(call, "loggedIn", 1);
}

static const struct tw_handler login_handlers[] = {
    {
        .name = "user-login",
        .validate = login_validate,
        .handle = login_handle,
        TW_RULES(login_rules),
        .help = "Notes that a user has logged in.",
    },
};

TW_PLUGIN(.name = "user-login", .version = "1.0.0", TW_HANDLERS(login_handlers));
