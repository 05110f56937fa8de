import { describe, expect, it } from "vitest";
import { headKey, serviceKey } from "../../contract/redis-keys.ts";
import type { SnapshotStore } from "../../registrar/publisher/store.ts";
import { until } from "../support/until.ts";
import { live, release, setStage } from "./stage.ts";

const stage = setStage();
const { statusesOf } = stage;

/** One whose term goes on after another led, as where etcd was cut off from it and then restored from a backup. */
function withCutOff() {
  let isCutOff = false;
  const verify = () => (isCutOff ? Promise.reject(new Error("etcd is away")) : Promise.resolve(true));
  const first = stage.start(stage.store, { verify });
  return {
    first,
    /** Done once it can neither claim nor publish. */
    cutOff: async () => {
      isCutOff = true;
      first.publisher.reclaim();
      await until("it cannot claim", () => first.publisher.status().lastError === "etcd is away");
    },
    goOn: async () => {
      isCutOff = false;
      await live(first);
    },
  };
}

describe("a change of leader that its term outlives", () => {
  it("in the midst of a term is one, too: what another published meanwhile is held where etcd has it no more", async () => {
    const { first, cutOff, goOn } = withCutOff();
    first.put("web", "1");
    await live(first);
    await cutOff();
    const second = stage.start();
    second.put("web", "1");
    second.put("api", "1", {}, "lease-1");
    await live(second);
    await second.stop();
    await goOn();
    expect(await statusesOf("web")).toEqual({ 1: "up" });
    expect(await statusesOf("api")).toEqual({ 1: "suspect" });
  });

  it("in the midst of a term brings nothing back that the other let go", async () => {
    const { first, cutOff, goOn } = withCutOff();
    first.put("web", "1", {}, "lease-1");
    await live(first);
    first.expire("lease-1");
    await live(first);
    await cutOff();
    const second = stage.start();
    await live(second);
    expect(await statusesOf("web")).toEqual({ 1: "suspect" });
    await release(second);
    await second.stop();
    await goOn();
    expect(await statusesOf("web")).toEqual({});
  });

  it("is not taken from a Redis that went back to an earlier leader: what is held stays held", async () => {
    const earlier = stage.start();
    earlier.put("api", "1");
    await live(earlier);
    await earlier.stop();
    const headBefore = await stage.redis.cli("GET", headKey("default"));

    const leader = stage.start();
    leader.put("api", "1");
    leader.put("web", "1", {}, "lease-1");
    await live(leader);
    leader.expire("lease-1");
    await live(leader);
    await stage.redis.cli("SET", headKey("default"), headBefore);
    await stage.redis.cli("DEL", serviceKey("default", "web"));
    leader.publisher.beat(Date.now());
    await until("the head is written again", async () => (await stage.stored.head())?.services === 2);
    await live(leader);
    expect(await statusesOf("web")).toEqual({ 1: "suspect" });
  });

  it("is not taken from a claim of its own over an emptied Redis, whose answer was lost", async () => {
    let answersLost = 0;
    const losing: SnapshotStore = {
      ...stage.store,
      async evaluate(script, keys, args) {
        const isFirstHead = keys.includes(headKey("default")) && (await stage.stored.head()) === undefined;
        const result = await stage.store.evaluate(script, keys, args);
        if (!isFirstHead || leader.publisher.guard.size() === 0 || (await stage.stored.head()) === undefined)
          return result;
        answersLost++;
        throw new Error("the answer was lost");
      },
    };
    const leader = stage.start(losing);
    leader.put("web", "1", {}, "lease-1");
    await live(leader);
    leader.expire("lease-1");
    await live(leader);
    await stage.redis.cli("FLUSHALL");
    leader.publisher.beat(Date.now());
    await until("the head is written again", async () => (await stage.stored.head())?.complete);
    expect(answersLost).toBe(1);
    expect(await statusesOf("web")).toEqual({ 1: "suspect" });
  });
});
