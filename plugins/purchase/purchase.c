/* PURCHASE: takes an order whose items add up, to the cent, to its amount. */
#include <stdio.h>

#include <taskwire/plugin.h>

enum { CENTS = 2 /* decimals */ };

static const struct tw_rule item[] = {
    {.field = "sku", .type = TW_STRING, .min = TW_N(1), .max = TW_N(64)},
    {.field = "quantity", .type = TW_INTEGER, .min = TW_N(1), .max = TW_N(10000)},
    {.field = "price", .type = TW_DECIMAL, .min = TW_N(0)},
};

static const struct tw_rule purchase_rules[] = {
    {.field = "userId", .type = TW_STRING, .min = TW_N(1)},
    {.field = "currency", .type = TW_STRING, .format = TW_CURRENCY},
    {.field = "amount", .type = TW_DECIMAL, .min = TW_N(0)},
    {.field = "items", .type = TW_ARRAY, .min = TW_N(1), .max = TW_N(500), TW_ITEMS(item)},
    {.field = "note", .type = TW_STRING, .max = TW_N(500), .optional = 1},
};

static int purchase_validate(struct tw_call *call, void *state)
{
    int64_t sum = 0, amount;

    (void)state;
    if (tw_call_decimal(call, CENTS, &amount, "/amount") < 0)
        return tw_call_reject(call, "/amount", "must have at most two decimals");
    for (size_t i = 0; i < tw_call_count(call, "/items"); i++) {
        int64_t price, quantity, cost;

        if (tw_call_decimal(call, CENTS, &price, "/items/%zu/price", i) < 0) {
            char pointer[48];

            snprintf(pointer, sizeof(pointer), "/items/%zu/price", i);
            return tw_call_reject(call, pointer, "must have at most two decimals");
        }
        if (tw_call_integer(call, &quantity, "/items/%zu/quantity", i) < 0 ||
            __builtin_mul_overflow(price, quantity, &cost) ||
            __builtin_add_overflow(sum, cost, &sum))
            return tw_call_reject(call, "/items", "cost more than can be counted");
    }
    if (sum != amount)
        return tw_call_reject(call, "/amount", "differs from the total of the items");
    return TW_OK;
}

static int purchase_handle(struct tw_call *call, void *state)
{
    int64_t amount = 0;

    (void)state;
    tw_call_decimal(call, CENTS, &amount, "/amount");
    tw_call_reply_decimal(call, "total", amount, CENTS);
    tw_call_reply_string(call, "currency", tw_call_string(call, "/currency"));
    return tw_call_reply_integer(call, "items", (int64_t)tw_call_count(call, "/items"));
}

static const struct tw_handler purchase_handlers[] = {
    {
        .name = "purchase",
        .validate = purchase_validate,
        .handle = purchase_handle,
        TW_RULES(purchase_rules),
        .help = "Takes an order whose items add up to its amount.",
    },
};

TW_PLUGIN(.name = "purchase", .version = "1.0.0", TW_HANDLERS(purchase_handlers));
