import { describe, expect, it } from "vitest";
import { createTally } from "./evidence.ts";

const here = { protocol: "http", zone: "a" };
const there = { protocol: "http", zone: "b" };
const NONE = { refusals: false, silence: false };

describe("a probe that fails", () => {
  it("says nothing while no other has answered", () => {
    const tally = createTally();
    expect(tally.evidenceFor(here)).toEqual(NONE);
    tally.addLive(here, "refused");
    tally.addLive(here, "silent");
    expect(tally.evidenceFor(here)).toEqual(NONE);
  });

  it("by silence says something only where others of its zone answer, by refusal where any do", () => {
    const tally = createTally();
    tally.addLive(there, "answered");
    expect(tally.evidenceFor(here)).toEqual({ refusals: true, silence: false });
    expect(tally.evidenceFor(there)).toEqual({ refusals: true, silence: true });
    tally.addLive(here, "answered");
    expect(tally.evidenceFor(here)).toEqual({ refusals: true, silence: true });
  });

  it("says nothing where most others fail as well", () => {
    const tally = createTally();
    tally.addLive(here, "answered");
    tally.addLive(here, "silent");
    expect(tally.evidenceFor(here).silence).toBe(true);
    tally.addLive(here, "silent");
    expect(tally.evidenceFor(here)).toEqual(NONE);
  });

  it("says nothing of an instance of another protocol", () => {
    const tally = createTally();
    tally.addLive({ protocol: "http" }, "answered");
    expect(tally.evidenceFor({ protocol: "udp" })).toEqual(NONE);
    expect(tally.evidenceFor({ protocol: "http" }).silence).toBe(true);
  });

  it("is told from one of a broken network also by held ones that answer, and never by held ones that do not", () => {
    const tally = createTally();
    tally.addHeld(here, "answered");
    for (let index = 0; index < 5; index++) tally.addHeld(here, "refused");
    expect(tally.evidenceFor(here)).toEqual({ refusals: true, silence: true });
  });
});
