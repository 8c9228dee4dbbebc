/* SPDX-License-Identifier: MIT */
/* Judges the results and prints them: a text table with wrapped cells, the same as Markdown, or
 * JSON. */
#include "bench.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench_build.h" /* BENCH_COMMIT: made by the build */
#include "build_facts.h"

/* ---- judging ---- */

/* The best median among peers: the smallest, for every unit that goals compare. 0 when none was
 * measured. */
static double best_peer(const result_t *result, unsigned peers, size_t *who)
{
    double best = 0.0;
    for (size_t id = 0; id < CONTESTANT_COUNT; id++) {
        const summary_t *summary = &result->of[id];
        if (id != CONTESTANT_BUMP && (peers >> id & 1U) != 0 && summary->runs > 0 &&
            (best <= 0.0 || summary->median < best)) {
            best = summary->median;
            *who = id;
        }
    }
    return best;
}

bool goal_met(const result_t *result, const goal_t *goal)
{
    const summary_t *ours = &result->of[result->row->ours];
    size_t who = 0;
    if (ours->runs == 0) {
        return false;
    }
    const double peer = best_peer(result, goal->peers, &who);
    switch (goal->kind) {
    case GOAL_AT_MOST:
        return ours->median <= goal->value;
    case GOAL_AT_LEAST:
        return ours->median >= goal->value;
    case GOAL_FASTER:
        return peer > 0.0 && peer >= goal->value * ours->median;
    case GOAL_FRACTION:
        return peer > 0.0 && ours->median <= goal->value * peer;
    case GOAL_NONE:
        break;
    }
    return true;
}

bool result_met(const result_t *result)
{
    for (size_t i = 0; i < ROW_GOALS_MAX; i++) {
        if (!goal_met(result, &result->row->goals[i])) {
            return false;
        }
    }
    return true;
}

/* ---- cells ---- */

typedef struct cell {
    char text[512];
    size_t length;
} cell_t;

__attribute__((format(printf, 2, 3))) static void cell_add(cell_t *cell, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int added =
        vsnprintf(cell->text + cell->length, sizeof(cell->text) - cell->length, format, arguments);
    va_end(arguments);
    if (added > 0) {
        cell->length += (size_t)added;
    }
    if (cell->length >= sizeof(cell->text)) {
        cell->length = sizeof(cell->text) - 1;
    }
}

/* Three or four significant digits, never in scientific notation. */
static void add_number(cell_t *cell, double value)
{
    const double size = fabs(value);
    cell_add(cell, "%.*f",
             size < 0.1      ? 4
             : size < 10.0   ? 3
             : size < 100.0  ? 2
             : size < 1000.0 ? 1
                             : 0,
             value);
}

static void describe_goal(cell_t *cell, const goal_t *goal, const char *unit)
{
    const bool one = (goal->peers & (goal->peers - 1)) == 0;
    const char *whom = "the best peer";
    for (size_t id = 0; one && id < CONTESTANT_COUNT; id++) {
        if ((goal->peers >> id & 1U) != 0) {
            whom = contestant_at(id)->label;
        }
    }
    switch (goal->kind) {
    case GOAL_AT_MOST:
        cell_add(cell, "<= %g %s", goal->value, unit);
        break;
    case GOAL_AT_LEAST:
        cell_add(cell, ">= %g %s", goal->value, unit);
        break;
    case GOAL_FASTER:
        cell_add(cell, ">= %gx %s", goal->value, whom);
        break;
    case GOAL_FRACTION:
        cell_add(cell, "<= %g of %s", goal->value, whom);
        break;
    case GOAL_NONE:
        break;
    }
}

static void describe_goals(cell_t *cell, const row_t *row)
{
    for (size_t i = 0; i < ROW_GOALS_MAX && row->goals[i].kind != GOAL_NONE; i++) {
        cell_add(cell, "%s", i > 0 ? ", " : "");
        describe_goal(cell, &row->goals[i], row->unit);
    }
}

static void describe_peers(cell_t *cell, const result_t *result)
{
    for (size_t id = 0; id < CONTESTANT_COUNT; id++) {
        if ((result->row->peers >> id & 1U) == 0) {
            continue;
        }
        cell_add(cell, "%s%s ", cell->length > 0 ? ", " : "", contestant_at(id)->label);
        if (result->of[id].runs > 0) {
            add_number(cell, result->of[id].median);
        } else {
            cell_add(cell, "not installed");
        }
    }
}

static void describe_ours(cell_t *cell, const result_t *result)
{
    const summary_t *ours = &result->of[result->row->ours];
    if (ours->runs == 0) {
        cell_add(cell, "not measured");
        return;
    }
    add_number(cell, ours->min);
    cell_add(cell, " / ");
    add_number(cell, ours->median);
    cell_add(cell, " / ");
    add_number(cell, ours->max);
    cell_add(cell, " %s", result->row->unit);
}

/* Ours against the peers that the goals name, or against the best of all where less is better. */
static void describe_ratio(cell_t *cell, const result_t *result)
{
    const row_t *row = result->row;
    const summary_t *ours = &result->of[row->ours];
    bool named = row->goals[0].kind == GOAL_AT_LEAST;
    for (size_t i = 0; i < ROW_GOALS_MAX; i++) {
        named = named || row->goals[i].peers != 0;
    }
    for (size_t i = 0; i < ROW_GOALS_MAX; i++) {
        const goal_t *goal = &row->goals[i];
        const unsigned peers = named ? goal->peers : i == 0 ? row->peers : 0;
        size_t who = 0;
        const double peer = best_peer(result, peers, &who);
        if (ours->runs > 0 && peer > 0.0 && ours->median > 0.0) {
            const bool fraction = goal->kind == GOAL_FRACTION;
            const double ratio = fraction ? ours->median / peer : peer / ours->median;
            cell_add(cell, fraction ? "%s%.2f of %s" : "%s%.2fx %s", cell->length > 0 ? ", " : "",
                     ratio, contestant_at(who)->label);
        }
    }
}

static void describe_verdict(cell_t *cell, const result_t *result)
{
    const row_t *row = result->row;
    if (row->goals[0].kind == GOAL_NONE) {
        cell_add(cell, "-");
    } else if (result_met(result)) {
        cell_add(cell, "met");
    } else {
        const char *separator = ": ";
        cell_add(cell, "NOT");
        for (size_t i = 0; row->goals[1].kind != GOAL_NONE && i < ROW_GOALS_MAX; i++) {
            if (!goal_met(result, &row->goals[i])) {
                cell_add(cell, "%s", separator);
                describe_goal(cell, &row->goals[i], row->unit);
                separator = "; ";
            }
        }
    }
}

#define COLUMNS 6

static void describe_row(cell_t cells[COLUMNS], const result_t *result)
{
    memset(cells, 0, sizeof(cell_t) * COLUMNS);
    cell_add(&cells[0], "%s", result->row->work);
    describe_peers(&cells[1], result);
    describe_ours(&cells[2], result);
    describe_ratio(&cells[3], result);
    describe_goals(&cells[4], result->row);
    describe_verdict(&cells[5], result);
}

static const char *const titles[COLUMNS] = {
    "work", "peers (median)", "ours: min / median / max", "peer / ours", "goal", "met"};

/* ---- text ---- */

static const int widths[COLUMNS] = {34, 38, 26, 24, 24, 14};

/* Prints the part of text from *at that fits the width, broken at a blank, and moves *at behind it.
 */
static void print_part(const char *text, size_t *at, int width)
{
    size_t length = strlen(text + *at);
    size_t taken = length;
    if (length > (size_t)width) {
        taken = (size_t)width;
        for (size_t i = (size_t)width; i > 0; i--) {
            if (text[*at + i] == ' ') {
                taken = i;
                break;
            }
        }
    }
    printf("%-*.*s", width, (int)taken, text + *at);
    *at += taken;
    while (text[*at] == ' ') {
        (*at)++;
    }
}

static void print_wrapped(const char *const texts[COLUMNS])
{
    size_t at[COLUMNS] = {0};
    bool more = true;
    while (more) {
        more = false;
        for (size_t i = 0; i < COLUMNS; i++) {
            print_part(texts[i], &at[i], widths[i]);
            printf(i + 1 < COLUMNS ? " | " : "\n");
            more = more || texts[i][at[i]] != '\0';
        }
    }
}

static void print_rule(void)
{
    for (size_t i = 0; i < COLUMNS; i++) {
        for (int j = 0; j < widths[i]; j++) {
            putchar('-');
        }
        printf(i + 1 < COLUMNS ? "-+-" : "\n");
    }
}

static void print_text(const result_t *results, size_t count)
{
    cell_t cells[COLUMNS];
    const char *texts[COLUMNS];
    print_wrapped(titles);
    print_rule();
    for (size_t i = 0; i < count; i++) {
        describe_row(cells, &results[i]);
        for (size_t column = 0; column < COLUMNS; column++) {
            texts[column] = cells[column].text;
        }
        print_wrapped(texts);
        print_rule();
    }
}

/* ---- Markdown and JSON ---- */

static void print_markdown(const result_t *results, size_t count)
{
    cell_t cells[COLUMNS];
    for (size_t column = 0; column < COLUMNS; column++) {
        printf("| %s ", titles[column]);
    }
    printf("|\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < count; i++) {
        describe_row(cells, &results[i]);
        for (size_t column = 0; column < COLUMNS; column++) {
            printf("| %s ", cells[column].text);
        }
        printf("|\n");
    }
}

static void print_json_summary(const char *label, const summary_t *summary)
{
    printf("{\"name\": \"%s\", \"runs\": %zu, \"min\": %.6g, \"median\": %.6g, \"max\": %.6g}",
           label, summary->runs, summary->min, summary->median, summary->max);
}

static void print_json_row(const result_t *result, bool last)
{
    cell_t goals = {.length = 0};
    const char *separator = "";
    const row_t *row = result->row;
    describe_goals(&goals, row);
    printf("    {\"id\": \"%s\", \"work\": \"%s\", \"unit\": \"%s\", \"ours\": ", row->id,
           row->work, row->unit);
    print_json_summary(contestant_at(row->ours)->label, &result->of[row->ours]);
    printf(", \"peers\": [");
    for (size_t id = 0; id < CONTESTANT_COUNT; id++) {
        if ((row->peers >> id & 1U) != 0 && result->of[id].runs > 0) {
            printf("%s", separator);
            print_json_summary(contestant_at(id)->label, &result->of[id]);
            separator = ", ";
        }
    }
    const char *met = result_met(result) ? "true" : "false";
    printf("], \"goal\": \"%s\", \"met\": %s}%s\n", goals.text,
           row->goals[0].kind == GOAL_NONE ? "null" : met, last ? "" : ",");
}

void print_results(table_format_t format, const result_t *results, size_t count)
{
    size_t goals = 0;
    size_t met = 0;
    for (size_t i = 0; i < count; i++) {
        if (results[i].row->goals[0].kind != GOAL_NONE) {
            goals++;
            met += result_met(&results[i]) ? 1 : 0;
        }
    }
    if (format == TABLE_JSON) {
        printf("  \"rows\": [\n");
        for (size_t i = 0; i < count; i++) {
            print_json_row(&results[i], i + 1 == count);
        }
        printf("  ],\n  \"goals\": %zu,\n  \"met\": %zu\n}\n", goals, met);
        return;
    }
    if (format == TABLE_MARKDOWN) {
        print_markdown(results, count);
    } else {
        print_text(results, count);
    }
    printf("\n%zu of %zu goals met\n", met, goals);
}

/* ---- the header ---- */

/* The value of the first line of a /proc file that begins with key, or "unknown". */
static void read_field(const char *path, const char *key, char *value, size_t size)
{
    char line[256];
    snprintf(value, size, "unknown");
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, key, strlen(key)) == 0 && colon != NULL) {
            const char *text = colon + 1 + strspn(colon + 1, " \t");
            snprintf(value, size, "%.*s", (int)strcspn(text, "\n"), text);
            break;
        }
    }
    fclose(file);
}

/* The load average of the last minute. */
static double busy_processors(void)
{
    double load = 0.0;
    return getloadavg(&load, 1) == 1 ? load : 0.0;
}

static const char *build_warning(void)
{
    return BENCH_SANITIZED    ? "built with a sanitizer: these figures say nothing about speed"
           : BENCH_ASSERTS    ? "assertions are on: not a release build"
           : !BENCH_OPTIMIZED ? "built without optimisation: not a release build"
                              : "";
}

void print_header(table_format_t format, size_t runs, size_t shrink)
{
    char processor[128];
    char memory[64];
    char when[32];
    struct utsname system;
    const time_t now = time(NULL);
    read_field("/proc/cpuinfo", "model name", processor, sizeof(processor));
    read_field("/proc/meminfo", "MemTotal", memory, sizeof(memory));
    strftime(when, sizeof(when), "%Y-%m-%d %H:%M UTC", gmtime(&now));
    if (uname(&system) != 0) {
        snprintf(system.release, sizeof(system.release), "unknown");
    }
    const char *const before = format == TABLE_JSON ? "  \"" : "";
    const char *const between = format == TABLE_JSON ? "\": \"" : ": ";
    const char *const after = format == TABLE_JSON ? "\",\n" : "\n";
    printf("%s", format == TABLE_JSON ? "{\n" : "");
    printf("%sdate%s%s%s", before, between, when, after);
    printf("%smachine%s%s, %ld processors, %s%s", before, between, processor,
           sysconf(_SC_NPROCESSORS_ONLN), memory, after);
    printf("%ssystem%sLinux %s%s", before, between, system.release, after);
    printf("%scompiler%s%s%s", before, between, BENCH_COMPILER, after);
    printf("%sflags%s%s%s", before, between, BENCH_FLAGS, after);
    printf("%scommit%s%s%s", before, between, BENCH_COMMIT, after);
    printf("%sruns%s%zu of each, interleaved, one process for each measurement%s%s", before,
           between, runs, shrink > 1 ? "; QUICK: fewer operations, not for publication" : "",
           after);
    /* Set by --huge-peers, or by the user: either way it belongs to the figures. */
    const char *const tunables = getenv("GLIBC_TUNABLES");
    if (tunables != NULL) {
        printf("%speers%sGLIBC_TUNABLES=%s%s", before, between, tunables, after);
    }
    const double load = busy_processors();
    printf("%sload%s%.1f processors busy before%s", before, between, load, after);
    if (build_warning()[0] != '\0') {
        printf("%sWARNING%s%s%s", before, between, build_warning(), after);
    } else if (load > 0.5) {
        printf("%sWARNING%sthe machine is busy: only ratios mean something%s", before, between,
               after);
    }
    if (format != TABLE_JSON) {
        printf("\n");
    }
}
