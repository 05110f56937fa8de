import { describe, expect, it } from "vitest";
import type { Point } from "../chaos/report/series.ts";
import { seededRandom } from "../support/random.ts";
import { QUANTITIES, type QuantityName } from "./quantities.ts";
import { slopeOf, thinned } from "./slope.ts";
import { judge, tellVerdict } from "./verdict.ts";

const MINUTE = 60_000;
const RUN = 60 * MINUTE;
const SEEDS = Array.from({ length: 8 }, (_, index) => 5 * index);

/** A sample every ten seconds of an hour. */
function hour(valueAt: (minute: number) => number): readonly Point[] {
  return Array.from({ length: 360 }, (_, index) => [index * 10_000, valueAt(index / 6)]);
}

function trend(points: readonly Point[], quantity: QuantityName = "rss", toMs = RUN) {
  return judge([{ process: "agent-0", quantity, points }], 0, toMs)[0]?.trend;
}

const trends = (make: (seed: number) => readonly Point[], quantity?: QuantityName) =>
  new Set(SEEDS.map((seed) => trend(make(seed), quantity)));

/** Uniform around 0. */
const noise = (random: () => number, width: number) => (random() - 0.5) * width;

describe("a soak takes for flat", () => {
  it("what varies by a fifth of itself from sample to sample", () => {
    const made = (seed: number) => {
      const random = seededRandom(seed);
      return hour(() => 100 + noise(random, 20));
    };
    expect(trends(made)).toEqual(new Set(["flat"]));
  });

  it("memory that is collected every few minutes, whenever the run begins and ends", () => {
    expect(trends((seed) => hour((minute) => 100 + 5 * ((minute + seed / 5) % 7)))).toEqual(new Set(["flat"]));
  });

  it("a step while it warms up, and one that is taken once", () => {
    expect(trend(hour((minute) => (minute < 8 ? 60 : 180)))).toBe("flat");
    expect(trend(hour((minute) => (minute < 20 ? 100 : 120)))).toBe("flat");
  });

  it("what fills up ever more slowly, as a cache does", () => {
    expect(trend(hour((minute) => 150 - 60 * Math.exp(-minute / 8)))).toBe("flat");
  });

  it("what falls, and what is always the same, also 0", () => {
    expect(trend(hour((minute) => 200 - minute))).toBe("flat");
    expect(trend(hour(() => 12))).toBe("flat");
    expect(trend(hour(() => 0))).toBe("flat");
  });

  it("a few descriptors more or less", () => {
    const made = (seed: number) => {
      const random = seededRandom(seed);
      return hour(() => 30 + Math.round(noise(random, 8)));
    };
    expect(trends(made, "handles")).toEqual(new Set(["flat"]));
  });
});

describe("a soak finds", () => {
  it("a leak of one per cent a minute, beneath noise ten times as large", () => {
    const made = (seed: number) => {
      const random = seededRandom(seed);
      return hour((minute) => 100 * (1 + minute / 100) + noise(random, 10));
    };
    expect(trends(made)).toEqual(new Set(["grows"]));
  });

  it("a leak beneath a heap that is collected every few minutes", () => {
    expect(trends((seed) => hour((minute) => 100 + minute + 10 * ((minute + seed / 5) % 7)))).toEqual(
      new Set(["grows"]),
    );
  });

  it("a leak that begins late", () => {
    expect(trend(hour((minute) => (minute < 40 ? 100 : 100 + 4 * (minute - 40))))).toBe("grows");
  });

  it("one descriptor a minute that is never closed", () => {
    expect(
      trend(
        hour((minute) => 30 + Math.floor(minute)),
        "handles",
      ),
    ).toBe("grows");
  });

  it("a watcher every ten minutes", () => {
    expect(
      trend(
        hour((minute) => 2 + Math.floor(minute / 10)),
        "watchers",
      ),
    ).toBe("grows");
  });

  it("a log that says more and more", () => {
    expect(
      trend(
        hour((minute) => 5 * minute),
        "logs",
      ),
    ).toBe("grows");
  });

  it("nothing where it has too few samples, and does not call that flat", () => {
    expect(trend(hour(() => 100).slice(0, 65))).toBe("unmeasured");
    expect(trend([])).toBe("unmeasured");
  });
});

it("a tenth of all samples may be anything", () => {
  const made = (seed: number) => {
    const random = seededRandom(seed);
    return hour(() => (random() < 0.1 ? 1000 * random() : 100));
  };
  expect(trends(made)).toEqual(new Set(["flat"]));
});

it("a slope is that of a line, however many points it has, and in whatever steps", () => {
  for (const count of [2, 30, 5000]) {
    const points = Array.from({ length: count }, (_, index): Point => [index * 1000, 7 + 3 * index]);
    expect(slopeOf(points)).toBeCloseTo(0.003, 6);
  }
  expect(thinned(Array.from({ length: 5000 }, (_, index): Point => [index, index])).length).toBeLessThanOrEqual(150);
});

it("a verdict tells what, of whom, how much and what would be allowed", () => {
  const [verdict] = judge([{ process: "agent-0", quantity: "heap", points: hour((minute) => 20 + minute) }], 0, RUN);
  expect(verdict && tellVerdict(verdict)).toMatch(
    /^agent-0, heap: GROWS at 54\.9 MB, \+50 MB over all, \+24\.8 MB in the second half; 2\.75 MB allowed\.$/,
  );
});

it("every quantity allows something, and none more than a leak of one per cent a minute makes in an hour", () => {
  for (const { tolerance } of Object.values(QUANTITIES)) {
    expect(tolerance.part > 0 || tolerance.floor > 0).toBe(true);
    expect(tolerance.part).toBeLessThanOrEqual(0.5);
  }
});
