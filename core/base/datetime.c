#include "base/datetime.h"

#include "base/clock.h"

/* `n` digits at `text`, or -1. */
static int number(const char *text, size_t n)
{
    int value = 0;

    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

/* Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant's days_from_civil). */
static int64_t days_since_epoch(int year, int month, int day)
{
    int64_t y = year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

/* "Z" or "+hh:mm", which is all that is left; in seconds. */
static bool parse_offset(const char *text, size_t len, int *ret)
{
    int hours, minutes;

    *ret = 0;
    if (len == 1 && (text[0] == 'Z' || text[0] == 'z'))
        return true;
    if (len != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':')
        return false;
    hours = number(text + 1, 2);
    minutes = number(text + 4, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return false;
    *ret = (text[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return true;
}

bool datetime_parse(const char *text, size_t len, int64_t *ret_ns)
{
    int year, month, day, hour, minute, second, offset;
    int64_t fraction = 0, unit = NS_PER_S, at;
    size_t i = 19;

    if (len < 20 || text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != 't') ||
        text[13] != ':' || text[16] != ':')
        return false;
    year = number(text, 4);
    month = number(text + 5, 2);
    day = number(text + 8, 2);
    hour = number(text + 11, 2);
    minute = number(text + 14, 2);
    second = number(text + 17, 2);
    if (year < 1678 || year > 2261 || month < 1 || month > 12 || day < 1 ||
        day > days_in(year, month) || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
        second < 0 || second > 60)
        return false;
    if (text[i] == '.') {
        size_t first = ++i;

        for (; i < len && text[i] >= '0' && text[i] <= '9'; i++)
            fraction += (unit /= 10) * (text[i] - '0');
        if (i == first)
            return false;
    }
    if (!parse_offset(text + i, len - i, &offset))
        return false;
    at = days_since_epoch(year, month, day) * 86400 + hour * 3600 + minute * 60 - offset;
    if (second == 60 && (at + 60) % 86400 != 0) /* leap seconds end a day of UTC */
        return false;
    *ret_ns = (at + (second == 60 ? 59 : second)) * NS_PER_S + fraction;
    return true;
}
