import type { At } from "../history/event.ts";

/** From one moment to another, both included; `to` may be Infinity. */
export interface Span {
  readonly from: At;
  readonly to: At;
}

/** Ordered, and apart from each other. */
export type Spans = readonly Span[];

export function mergeSpans(spans: Iterable<Span>): Spans {
  const merged: Span[] = [];
  for (const span of [...spans].toSorted((a, b) => a.from - b.from)) {
    const last = merged.at(-1);
    if (last && span.from <= last.to) merged[merged.length - 1] = { from: last.from, to: Math.max(last.to, span.to) };
    else merged.push(span);
  }
  return merged;
}

/** The first that ends at `at` or later; there may be none. */
function indexFrom(spans: Spans, at: At): number {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((spans[middle] as Span).to < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function overlapMs(spans: Spans, from: At, to: At): number {
  let sum = 0;
  for (let index = indexFrom(spans, from); index < spans.length; index++) {
    const span = spans[index] as Span;
    if (span.from >= to) break;
    sum += Math.min(to, span.to) - Math.max(from, span.from);
  }
  return sum;
}

/** The first that has a moment in common with the one given. */
export function touching(spans: Spans, from: At, to: At): Span | undefined {
  const span = spans[indexFrom(spans, from)];
  return span && span.from <= to ? span : undefined;
}

/** The one that has all of the time given. */
export function covering(spans: Spans, from: At, to: At): Span | undefined {
  const span = spans[indexFrom(spans, from)];
  return span && span.from <= from && to <= span.to ? span : undefined;
}

/** The first moment by which, since `from`, so long a stretch has passed with nothing of `spans` in it. */
export function calmFrom(spans: Spans, from: At, stretchMs: number): At {
  let since = from;
  for (let index = indexFrom(spans, from); index < spans.length; index++) {
    const span = spans[index] as Span;
    if (span.from - since >= stretchMs) break;
    since = Math.max(since, span.to);
  }
  return since + stretchMs;
}
