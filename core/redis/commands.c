/* Scripts, because each is one atomic step. None needs more of Redis than 6.0. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "redis/internal.h"

static const char *const scripts[SCRIPT_COUNT] = {
    /* A request is made known, or again. Returns a reply that is there already.
     * KEYS: t, i. ARGV: owner, caller, id, topic, accepted, ttl, correlation, prefix "t:" */
    [SCRIPT_BEGIN] =
        "local k,i=KEYS[1],KEYS[2] local f=redis.call('HMGET',k,'a','r') "
        "redis.call('HSET',k,'o',ARGV[1],'c',ARGV[2],'i',ARGV[3],'t',ARGV[4],'a',f[1] or ARGV[5]) "
        "redis.call('PEXPIRE',k,ARGV[6]) "
        "if not redis.call('SET',i,ARGV[7],'PX',ARGV[6],'NX') then "
        "local first=redis.call('GET',i) " /* a live one stays: GET shows the first */
        "if first==ARGV[7] or redis.call('HEXISTS',ARGV[8]..first,'o')==0 or "
        "redis.call('HEXISTS',ARGV[8]..first,'r')==1 "
        "then redis.call('SET',i,ARGV[7],'PX',ARGV[6]) end end "
        "return f[2]",
    /*
     * The first reply is the result. Returns 1 first, 2 repeated, 3 unknown and kept, 4 unknown.
     * What is not known yet is counted; with the name of an owner, who will make it known, it is
     * kept for 30 s, ten times as many. A failing PUBLISH is no failure: what waits looks.
     * Where somebody waits for it the time to live is long enough as it is.
     * KEYS: t. ARGV: reply, ttl, we, owner or '', limit of unknown ones, prefix, correlation; of our own
     * task also: key i, caller, id, topic, accepted, 1 if somebody waits
     */
    [SCRIPT_COMPLETE] =
        "local k,p=KEYS[1],ARGV[6] local f=redis.call('HMGET',k,'r','o','c','i') local v=1 "
        "local ttl,n,count=ARGV[2],tonumber(ARGV[5]),'unknown' "
        "if f[1] then v=2 else "
        "if not f[2] and ARGV[8] then f[2]=ARGV[3] "
        "redis.call('HSET',k,'o',ARGV[3],'c',ARGV[9],'i',ARGV[10],'t',ARGV[11],'a',ARGV[12]) "
        "redis.call('SET',ARGV[8],ARGV[7],'PX',ttl,'NX') end "
        "if not f[2] then v=3 if ARGV[4]~='' then ttl,n,count='30000',10*n,'owned' end "
        "local is=redis.call('INCR',p..count) "
        "if is==1 then redis.call('PEXPIRE',p..count,ttl) end if is>n then v=4 end end "
        "if v<4 then redis.call('HSET',k,'r',ARGV[1]) end "
        "if v<4 and not (f[4] and ARGV[13]=='1') then redis.call('PEXPIRE',k,ttl) "
        "if f[4] then redis.call('PEXPIRE',p..'i:'..#f[3]..':'..f[3]..':'..f[4],ttl) end end end "
        "local o=f[2] or ARGV[4] "
        "if o~='' and o~=ARGV[3] then redis.pcall('PUBLISH',p..'pod:'..o,ARGV[7]) end "
        "return v",
    /* KEYS: i. ARGV: prefix "t:" */
    [SCRIPT_LOOKUP] = "local c=redis.call('GET',KEYS[1]) if not c then return false end "
                      "return redis.call('HMGET',ARGV[1]..c,'t','a','r','i')",
    /* Returns {attempts, 1 if counted}, or the reply. KEYS: x, t or x. ARGV: count below, ttl */
    [SCRIPT_ATTEMPT] =
        "if KEYS[2]~=KEYS[1] then local r=redis.call('HGET',KEYS[2],'r') if r then return r end "
        "end "
        "local n=tonumber(redis.call('GET',KEYS[1]) or '0') "
        "if tonumber(ARGV[1])<0 then if n>0 then n=redis.call('DECR',KEYS[1]) end return {n,0} end "
        "if n>=tonumber(ARGV[1]) then return {n,0} end "
        "n=redis.call('INCR',KEYS[1]) redis.call('PEXPIRE',KEYS[1],ARGV[2]) return {n,1}",
    /* KEYS: t. ARGV: prefix, correlation */
    [SCRIPT_FORGET] = "local f=redis.call('HMGET',KEYS[1],'c','i') redis.call('DEL',KEYS[1]) "
                      "if f[2] then local i=ARGV[1]..'i:'..#f[1]..':'..f[1]..':'..f[2] "
                      "if redis.call('GET',i)==ARGV[2] then redis.call('DEL',i) end end return 1",
    /* KEYS: probe. ARGV: ttl */
    [SCRIPT_PROBE] = "return redis.call('SET',KEYS[1],'1','PX',ARGV[1])",
};

void arguments_add(struct arguments *a, const char *text, size_t len)
{
    assert(a->count < ARGS_MAX);
    a->argv[a->count] = text;
    a->lens[a->count++] = len;
}

void arguments_addz(struct arguments *a, const char *text)
{
    arguments_add(a, text, strlen(text));
}

void arguments_number(struct arguments *a, int64_t number)
{
    char *text = a->numbers[a->n_numbers];

    assert(a->n_numbers < (int)TW_ARRAY_LEN(a->numbers));
    a->n_numbers++;
    arguments_add(a, text, (size_t)snprintf(text, sizeof(a->numbers[0]), "%" PRId64, number));
}

static void loaded(void *arg, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_STRING && reply->len == SHA_LEN)
        memcpy(arg, reply->str, SHA_LEN + 1);
}

void scripts_load(struct link *l)
{
    for (size_t i = 0; i < SCRIPT_COUNT; i++)
        link_greeting(l, loaded, l->r->shas[i], 3, "SCRIPT", "LOAD", scripts[i]);
}

void script_begin(struct redis *r, struct arguments *a, enum script script, int keys)
{
    a->count = a->n_numbers = 0;
    arguments_add(a, "EVALSHA", 7);
    arguments_add(a, r->shas[script], SHA_LEN);
    arguments_number(a, keys);
}
