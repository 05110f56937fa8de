import { sleep, systemClock } from "../../../kernel/clock.ts";
import type { EtcdMember } from "../fleet/fleet.ts";
import { choose, shuffled } from "./draw.ts";
import { elected } from "./etcd-elected.ts";
import type { Fault } from "./fault.ts";
import { repeat } from "./repeat.ts";
import { isMemberLine } from "./line-names.ts";

const quorumKill: Fault = {
  name: "etcd-quorum-kill",
  about: "kill -9 of two of three members of etcd: nothing can be written or read as of now, and no lease renewed.",
  touches: ["etcd", "peers"],
  async begin({ etcd }, random) {
    const struck = some(etcd.members, 2, random);
    await Promise.all(struck.map((member) => member.kill()));
    return {
      target: names(struck),
      async end() {
        await Promise.all(struck.map((member) => member.start()));
        await elected(etcd);
      },
    };
  },
};

const quorumPartition: Fault = {
  name: "etcd-quorum-partition",
  about: "No member of etcd hears another: all of them run, and none has a quorum.",
  touches: ["peers"],
  async begin({ lines, etcd }) {
    const peers = lines.filter(isMemberLine);
    for (const { proxy } of peers) proxy.blackhole(true);
    return {
      target: names(etcd.members),
      async end() {
        for (const { proxy } of peers) proxy.blackhole(false);
        await elected(etcd);
      },
    };
  },
};

const all: Fault = {
  name: "etcd-all-kill",
  about: "kill -9 of every member of etcd at once, as when the rack loses its power.",
  weight: 0.7,
  touches: ["etcd", "peers"],
  async begin({ etcd }) {
    await Promise.all(etcd.members.map((member) => member.kill()));
    return {
      target: names(etcd.members),
      async end() {
        await Promise.all(etcd.members.map((member) => member.start()));
        await elected(etcd);
      },
    };
  },
};

const rolling: Fault = {
  name: "etcd-rolling-restart",
  about: "Each member of etcd is restarted in turn, as at its upgrade: every token it has issued is gone with it.",
  touches: ["etcd", "peers"],
  async begin({ etcd }, random) {
    const order = some(etcd.members, etcd.members.length, random);
    for (const member of order) {
      await member.kill("SIGTERM");
      await member.start();
      await elected(etcd);
    }
    return { target: names(order), end: () => elected(etcd) };
  },
};

const flicker: Fault = {
  name: "etcd-slow-disk",
  about:
    "A member of etcd, the leader more often, stands still for moments again and again, as on a disk that is slow to sync.",
  touches: ["etcd"],
  async begin({ etcd }, random) {
    const leader = await etcd.leader();
    const member = leader && random() < 0.6 ? leader : choose(random, etcd.members);
    const [stillMs, runsMs] = [choose(random, [100, 300, 900]), choose(random, [30, 100, 300])];
    const stop = repeat(runsMs, async () => {
      member.pause();
      await sleep(systemClock, stillMs);
      member.resume();
    });
    return {
      target: member.name,
      detail: { stillMs, runsMs },
      end: async () => {
        await stop();
        await elected(etcd);
      },
    };
  },
};

export const ETCD_CLUSTER_FAULTS: readonly Fault[] = [quorumKill, quorumPartition, all, rolling, flicker];

function some(members: readonly EtcdMember[], count: number, random: () => number): readonly EtcdMember[] {
  return shuffled(random, members, () => 1).slice(0, count);
}

function names(members: readonly EtcdMember[]): string {
  return members.map(({ name }) => name).join(" ");
}
