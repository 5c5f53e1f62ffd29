/* Tasks, the callers that want them done, foreign senders, and foreign services that reply. */
#include <stdio.h>
#include <string.h>

#include "orchestrator/wire.h"
#include "sim.h"

int job_of_text(const char *text, size_t len)
{
    const char *at = memmem(text, len, "\"n\":", 4);

    return at == NULL ? -1 : atoi(at + 4);
}

struct job *job_new(struct sim *s, int topic, enum does does)
{
    struct job *job;

    if (s->n_jobs == JOBS_MAX)
        return NULL;
    job = calloc(1, sizeof(*job));
    *job = (struct job){
        .s = s, .number = s->n_jobs, .topic = topic, .does = does, .key = -1, .appended_topic = -1};
    if (sim_chance(s, 700))
        job->key = (int)sim_between(s, 0, KEYS - 1);
    snprintf(job->id, sizeof(job->id), "t%d", job->number);
    s->jobs[s->n_jobs++] = job;
    return job;
}

static enum does any_deed(struct sim *s)
{
    static const enum does deeds[] = {DOES_REJECT, DOES_FAIL, DOES_PUBLISH, DOES_PUBLISH_NOWHERE,
                                      DOES_TOO_MUCH};

    if (!s->calm && sim_chance(s, s->poison))
        return DOES_CRASH;
    return sim_chance(s, 650) ? DOES_WELL : deeds[sim_random(s, TW_ARRAY_LEN(deeds))];
}

static struct job *any_job(struct sim *s, int topic)
{
    struct job *job = job_new(s, topic, topic == PEER ? DOES_WELL : any_deed(s));
    int n = 0;

    if (job == NULL)
        return NULL;
    if (job->does == DOES_CRASH)
        s->poison = s->poison > 20 ? 20 : 0; /* one or two are enough */
    if (job->does == DOES_PUBLISH || job->does == DOES_PUBLISH_NOWHERE)
        n = (int)sim_between(s, 1, 2);
    for (int i = 0; i < n; i++) {
        struct job *further = job_new(s, (int)sim_random(s, 2), DOES_WELL);

        if (further != NULL)
            job->publishes[job->n_publishes++] = further->number;
    }
    return job;
}

void job_text(const struct job *job, char out[static 128])
{
    if (job->key < 0)
        snprintf(out, 128, "{\"id\":\"%s\",\"n\":%d}", job->id, job->number);
    else
        snprintf(out, 128, "{\"id\":\"%s\",\"key\":\"k%d\",\"n\":%d}", job->id, job->key,
                 job->number);
}

static void on_answer(struct waiter *w, const struct answer *a)
{
    struct job *job = (struct job *)w;

    check_answer(job->s, job, a);
    if (job->s->sabotage == SABOTAGE_REPEAT && sim_chance(job->s, 100))
        check_answer(job->s, job, a);
}

static struct pod *any_pod(struct sim *s)
{
    struct pod *pod = &s->pods[sim_random(s, (uint64_t)s->n_pods)];

    return pod->alive && pod->frozen_until <= s->now ? pod : NULL;
}

void jobs_submit(struct sim *s)
{
    struct pod *pod = any_pod(s);
    struct job *job = pod == NULL ? NULL : any_job(s, (int)sim_random(s, 3));
    struct submission submission = {.caller = "", .reply_wanted = true};
    struct json_error error;
    TASK_CLEANUP struct task *task = NULL;
    struct violations *v;
    enum error_code code;
    char text[128];

    if (job == NULL)
        return;
    if (job->number > 0 && sim_chance(s, 50)) /* an id that may be in use */
        memcpy(job->id, s->jobs[sim_random(s, (uint64_t)job->number)]->id, sizeof(job->id));
    job_text(job, text);
    job->asks = job->topic == PEER || sim_chance(s, 800);
    job->waiter.answer = on_answer;
    job->pod = pod;
    job->begun = s->now;
    job->wait = sim_between(s, 300 * MS, 12 * SEC);
    v = violations_new();
    if (orchestrator_check(pod->o, &s->topics[job->topic], text, strlen(text), v, &task, &error) !=
        0)
        sim_fail(s, "job %d is not taken for a task", job->number);
    violations_free(v);
    submission.topic = &s->topics[job->topic];
    submission.task = task;
    submission.reply_wanted = job->asks;
    submission.wait = job->wait;
    sim_trace(s, "submit pod %d job %d to %s%s", pod->number, job->number, broker_name(job->topic),
              job->asks ? "" : ", fire and forget");
    job->taken = true; /* it may be answered at once */
    code = orchestrator_submit(pod->o, &submission, &job->waiter);
    if (code == ERROR_NONE)
        return;
    job->taken = false;
    sim_trace(s, "submit job %d: %s", job->number, error_info(code)->slug);
    if (job->answers > 0 || job->appended_topic >= 0)
        sim_fail(s, "job %d was not taken (%s), and it was %s", job->number, error_info(code)->slug,
                 job->answers > 0 ? "answered" : "sent");
    job->refused = true;
}

void jobs_foreign(struct sim *s)
{
    static const char *const garbage[] = {"not json", "[1]", "{\"id\":7,", "{\"id\":\"\",", NULL};
    static const char *const places[] = {"peer.reply", "ours.replies", "evil", NULL};
    struct job *job = any_job(s, (int)sim_random(s, 2));
    const char *place = places[sim_random(s, TW_ARRAY_LEN(places))];
    struct bus_header headers[3];
    char text[160], key[8];
    struct record r = {.headers = headers, .value = text};

    if (job == NULL)
        return;
    job->foreign = true;
    job_text(job, text);
    if (sim_chance(s, 150)) {
        const char *bad = garbage[sim_random(s, TW_ARRAY_LEN(garbage))];

        job->does = DOES_NOT_PARSE;
        job->n_publishes = 0;
        r.value = bad == NULL ? NULL : text;
        if (bad != NULL)
            snprintf(text, sizeof(text), "%s \"n\":%d", bad, job->number);
    }
    r.value_len = r.value == NULL ? 0 : strlen(text);
    if (job->key >= 0) {
        r.key = key;
        r.key_len = (size_t)snprintf(key, sizeof(key), "k%d", job->key);
    }
    if (place != NULL) {
        /* 16 bytes, as Spring writes them, or letters that are no UUID */
        job->correlation_len = sim_chance(s, 500) ? 16 : 12;
        snprintf(job->correlation, sizeof(job->correlation), "f%06d foreign..", job->number);
        headers[r.n_headers++] =
            (struct bus_header){WIRE_CORRELATION_ID, job->correlation, job->correlation_len};
        headers[r.n_headers++] = (struct bus_header){WIRE_REPLY_TOPIC, place, strlen(place)};
        if (sim_chance(s, 300))
            headers[r.n_headers++] = sim_chance(s, 500)
                                         ? (struct bus_header){WIRE_REPLY_PARTITION, "1", 1}
                                         : (struct bus_header){WIRE_REPLY_PARTITION, "77", 2};
        job->asks = strcmp(place, "evil") != 0;
    }
    broker_append(s, job->topic, broker_partition_of(s, job->topic, r.key, r.key_len), &r);
}

static void append_reply(struct sim *s, const void *correlation, size_t len, int n)
{
    char value[64];
    struct bus_header headers[] = {{WIRE_CORRELATION_ID, correlation, len}};
    const struct record r = {.value = value,
                             .headers = headers,
                             .n_headers = 1,
                             .value_len = (size_t)snprintf(value, sizeof(value), "{\"n\":%d}", n)};

    broker_append(s, REPLIES, (int)sim_random(s, (uint64_t)broker_partitions(REPLIES)), &r);
}

void jobs_on_peer(struct sim *s, const struct entry *e)
{
    const struct bus_header *c = record_header(e->record, WIRE_CORRELATION_ID);
    struct job *job = s->jobs[e->job];

    if (c == NULL || (!s->calm && sim_chance(s, 50)))
        return; /* an event, or it forgets to answer */
    job->does = DOES_WELL;
    append_reply(s, c->value, c->len, job->number);
    if (sim_chance(s, 150)) /* and again */
        append_reply(s, c->value, c->len, job->number);
}

void jobs_garble(struct sim *s)
{
    static const char unknown[] = "ffffffff-ffff-7fff-8fff-ffffffffffff";
    char text[UUID_TEXT_LEN + 1];

    snprintf(text, sizeof(text), "%08x%s", (unsigned)sim_random(s, 1 << 30), unknown + 8);
    append_reply(s, text, sim_chance(s, 700) ? UUID_TEXT_LEN : 5, JOBS_MAX);
}

struct look {
    struct sim *s;
    const struct job *job;
};

static void looked_up(void *arg, const struct store_view *view, bool away)
{
    struct look *l = arg;
    struct sim *s = l->s;
    int n =
        view == NULL || view->body == NULL ? -1 : job_of_text(view->body->data, view->body->len);

    (void)away;
    if (n >= 0 && (n >= s->n_jobs || strcmp(s->jobs[n]->id, l->job->id) != 0))
        sim_fail(s, "who asked for %s was shown the result of job %d", l->job->id, n);
    s->lookups--;
    free(l);
}

void jobs_lookup(struct sim *s)
{
    struct pod *pod = any_pod(s);
    struct look *l;

    if (pod == NULL || s->n_jobs == 0)
        return;
    l = malloc(sizeof(*l));
    *l = (struct look){s, s->jobs[sim_random(s, (uint64_t)s->n_jobs)]};
    s->lookups++;
    orchestrator_lookup(pod->o, "", l->job->id, looked_up, l);
}
