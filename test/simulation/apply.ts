import { FAULTS_BEGIN_MS, FAULTS_END_MS, type Action, type Step } from "./plan.ts";
import { FAIR } from "./link.ts";
import type { PublisherProcess } from "./publisher-process.ts";
import { keyOf, type World } from "./world.ts";
import type { Backup } from "./etcd-model.ts";

/** Makes steps of a plan happen to a world. */
export function createApply(world: World): (step: Step) => void {
  const { timeline, etcd, redis, agents, colo } = world;
  let backup: Backup | undefined;
  timeline.at(FAULTS_BEGIN_MS, () => (backup = etcd.backup()));

  /** Undoes it some time later; whatever goes on at the end of all faults ends there. */
  function later(ms: number, undo: () => void): void {
    timeline.at(Math.min(timeline.nowMs() + ms, FAULTS_END_MS), undo);
  }

  function restart(name: string, ms: number, closes: boolean): void {
    const before = world.publishers.get(name);
    // It is down already.
    if (!before?.process.isAlive() || before.process.isPaused()) return;
    if (closes) {
      world.publishers.delete(name);
      void world.endPublisher(before);
    } else {
      before.process.kill();
    }
    later(ms, () => world.startPublisher(name));
  }

  function apply(step: Action): void {
    switch (step.type) {
      case "register":
        return agents.register(step.agent, step.service, `${step.service}-${step.number}`);
      case "change":
        return agents.change(step.service, `${step.service}-${step.number}`, "up");
      case "down":
        return agents.change(step.service, `${step.service}-${step.number}`, "down");
      case "drain":
        return agents.change(step.service, `${step.service}-${step.number}`, "draining");
      case "deregister":
        return agents.deregister(step.service, `${step.service}-${step.number}`);
      case "expire":
        return agents.expire(step.agent);
      case "return":
        return agents.return(step.agent, step.forgets);
      case "compact":
        return etcd.compact(etcd.revision());
      case "backup":
        backup = etcd.backup();
        return;
      case "restore":
        if (backup) etcd.restore(backup);
        agents.restored();
        return;
      case "break-watches":
        return etcd.breakWatches();
      case "etcd-down":
        etcd.up = false;
        return later(step.ms, () => void (etcd.up = true));
      case "watch-lag":
        return of(step.of, step.ms, ({ etcd: client }, isOn) => void (client.watchLagMs = isOn ? step.lagMs : 0));
      case "cut-etcd":
        return of(step.of, step.ms, ({ etcdLink }, isOn) => void (etcdLink.cut = isOn));
      case "cut-redis":
        return of(step.of, step.ms, ({ redisLink }, isOn) => void (redisLink.cut = isOn));
      case "weather": {
        const isolate = world.isolates.get(step.of);
        const publisher = world.publishers.get(step.of);
        const link = isolate?.link ?? (step.to === "etcd" ? publisher?.etcdLink : publisher?.redisLink);
        if (!link) return;
        link.weather = step.weather;
        return later(step.ms, () => void (link.weather = FAIR));
      }
      case "flush":
        redis.flush();
        return world.dataLost();
      case "promote":
        redis.promote();
        return world.dataLost();
      case "evict":
        redis.delete(keyOf(step.what));
        return world.dataLost();
      case "tamper":
        redis.set(keyOf(step.what), "garbage");
        return world.dataLost();
      case "replica-lag":
        redis.replicaLagMs = step.lagMs;
        return later(step.ms, () => void (redis.replicaLagMs = 0));
      case "redis-down":
        redis.up = false;
        return later(step.ms, () => void (redis.up = true));
      case "redis-readonly":
      case "redis-full":
        redis.refuses = step.type === "redis-full" ? "OOM" : "READONLY";
        return later(step.ms, () => void (redis.refuses = undefined));
      case "cut-reader": {
        const link = world.isolates.get(step.of)?.link;
        if (!link) return;
        link.cut = true;
        return later(step.ms, () => void (link.cut = false));
      }
      case "pause": {
        const paused = world.publishers.get(step.of);
        paused?.process.pause();
        return later(step.ms, () => paused?.process.resume());
      }
      case "kill":
      case "close":
        return restart(step.of, step.ms, step.type === "close");
      case "skew": {
        const { process } = world.isolates.get(step.of) ?? world.publishers.get(step.of) ?? {};
        process?.skew(step.byMs);
        return world.skewed(step.byMs);
      }
      case "restart-isolate":
        world.isolates.get(step.of)?.process.kill();
        return world.startIsolate(step.of);
      case "colo-clear":
        return colo.readings.clear();
      case "colo-broken":
        colo.failing = true;
        return later(step.ms, () => void (colo.failing = false));
    }
  }

  /** Only of the life that is under way; one that is begun meanwhile begins well. */
  function of(name: string, ms: number, make: (publisher: PublisherProcess, isOn: boolean) => void): void {
    const publisher = world.publishers.get(name);
    if (!publisher) return;
    make(publisher, true);
    later(ms, () => make(publisher, false));
  }

  return (step) => {
    const { atMs: _atMs, type, ...fields } = step;
    world.tell(`--- ${type} ${JSON.stringify(fields)}`);
    apply(step);
  };
}
