/** What has been planned to happen, once; calling it again, or after it happened, does nothing. */
type Cancel = () => void;

interface Planned {
  readonly atMs: number;
  /** In which order things of one time happen: that of planning. */
  readonly order: number;
  run: (() => void) | undefined;
}

/** The one time of a simulated world, in which nothing happens but what was planned. */
export interface Timeline {
  /** Milliseconds since the world began. */
  nowMs(): number;
  at(atMs: number, run: () => void): Cancel;
  /** Moves time on to `untilMs`: each thing in its turn, and all that follows from it before the next. */
  advance(untilMs: number): Promise<void>;
  /** How much is planned. */
  size(): number;
}

export function createTimeline(): Timeline {
  /** A binary heap, the earliest first. What is cancelled stays, empty, until its time. */
  const heap: Planned[] = [];
  let nowMs = 0;
  let planned = 0;
  let size = 0;

  const isBefore = (a: Planned, b: Planned) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

  function push(item: Planned): void {
    let index = heap.length;
    heap.push(item);
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = heap[above] as Planned;
      if (!isBefore(item, parent)) break;
      heap[index] = parent;
      index = above;
    }
    heap[index] = item;
  }

  function pop(): void {
    const last = heap.pop() as Planned;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let below = 2 * index + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && isBefore(heap[below + 1] as Planned, heap[below] as Planned)) below++;
      const child = heap[below] as Planned;
      if (!isBefore(child, last)) break;
      heap[index] = child;
      index = below;
    }
    heap[index] = last;
  }

  return {
    nowMs: () => nowMs,
    at(atMs, run) {
      const item: Planned = { atMs: Math.max(atMs, nowMs), order: planned++, run };
      push(item);
      size++;
      return () => {
        if (item.run === undefined) return;
        item.run = undefined;
        size--;
      };
    },
    async advance(untilMs) {
      await settle();
      for (let next = heap[0]; next !== undefined && next.atMs <= untilMs; next = heap[0]) {
        pop();
        const { run } = next;
        if (run === undefined) continue;
        next.run = undefined;
        size--;
        nowMs = next.atMs;
        run();
        await settle();
      }
      nowMs = untilMs;
    },
    size: () => size,
  };
}

/** Nothing here waits for anything but promises, and one turn of the event loop comes after all of theirs. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
