import type { ServicesAnswer } from "../../contract/http.ts";
import { compareVersions } from "../../contract/version.ts";
import type { Resolver } from "../../src/resolver.ts";
import { SERVICES, WITNESS } from "./plan.ts";
import type { SimulatedProcess } from "./process.ts";
import type { Spell, Truth } from "./truth.ts";
import type { Guarantee } from "./violation.ts";

/** A lookup takes its cold budget at most, and a little for what is counted in whole milliseconds. */
const ANSWER_MS_MAX = 2100;
const STALE_AFTER_MS = 10_000;
/** A head that says "no such service" was read at most so long before: the times of the resolver's judge. */
const ABSENCE_READ_MS = 2100;

interface Answer {
  readonly epoch: number;
  readonly revision: number;
  readonly instances: readonly {
    readonly id: string;
    readonly status: string;
    readonly metadata: Readonly<Record<string, string>>;
  }[];
}

/** One life of an isolate. */
export interface Reader {
  readonly process: SimulatedProcess;
  readonly resolver: Resolver;
  /** Asks for a service, and judges the answer once it comes. */
  look(service: string): Promise<void>;
  /** The same for the names of all services. */
  list(): Promise<void>;
  /** Asks, and gives the answer. */
  ask(service: string): Promise<{ readonly status: number; readonly body: string }>;
}

export interface ReaderOptions {
  readonly process: SimulatedProcess;
  readonly resolver: Resolver;
  readonly truth: Truth;
  readonly nowMs: () => number;
  /** How far wall clocks of this world differ. */
  readonly slackMs: () => number;
  /** The least `confirmedAt` of heads that this isolate, or another of its data centre, has read since. */
  readonly confirmedSinceMs: (sinceMs: number) => number;
  readonly report: (guarantee: Guarantee, text: string) => void;
  /** Takes what is costly to tell as a function, which is called if anybody wants to know. */
  readonly tell: (text: string | (() => string)) => void;
}

export function createReader(options: ReaderOptions): Reader {
  const { process, resolver, truth, nowMs, slackMs, confirmedSinceMs, report, tell } = options;
  const answered = new Map<string, Answer>();
  const platform = { background: () => undefined };

  /** By URL: making them is a tenth of what a lookup costs, and nothing of one is used up. */
  const requests = new Map<string, Request>();

  function fetched(path: string, query = "") {
    const url = `http://resolver/v1/services${path}${query}`;
    const request = requests.get(url) ?? new Request(url);
    requests.set(url, request);
    return resolver.fetch(request, platform);
  }

  function checkInstances(service: string, answer: Answer, lowerMs: number): void {
    const where = `${process.name} of ${service} at ${answer.epoch}/${answer.revision}`;
    const spells = truth.spells(service);
    const byId = new Map(answer.instances.map((instance) => [instance.id, instance]));
    for (const { id, status, metadata } of answer.instances) {
      const own = spells.get(id) ?? [];
      if (!isTrue(own, status, metadata["generation"] ?? "", lowerMs)) {
        const ago = Math.round(nowMs() - lowerMs);
        report("honest age", `${where}: ${id} was not ${status} (${metadata["generation"]}) in the last ${ago} ms`);
      }
    }
    for (const [id, own] of spells) {
      const throughout = own.find((spell) => spell.fromMs < lowerMs && spell.toMs === Infinity);
      if (throughout?.status !== "up") continue;
      const told = byId.get(id);
      if (told?.status !== "up") report("honest age", `${where}: ${id} is ${told?.status ?? "left out"}, and was up`);
    }
  }

  return {
    process,
    resolver,
    async ask(service) {
      const response = await fetched(`/${service}`, "?health=all");
      return { status: response.status, body: await response.text() };
    },
    async list() {
      const startedAtMs = nowMs();
      const response = await fetched("");
      const { headers } = response;
      tell(
        () => `${process.name}: answered ${response.status} for all names, age-ms ${headers.get("fingerpost-age-ms")}`,
      );
      if (response.status !== 200) return;
      const { services } = (await response.json()) as ServicesAnswer;
      const names = new Set(services.map(({ name }) => name));
      const lowerMs = startedAtMs - Number(headers.get("fingerpost-age-ms") ?? NaN) - slackMs();
      for (const service of [...SERVICES, WITNESS]) {
        const all = [...truth.spells(service).values()].flat();
        const isThroughout = all.some(
          ({ status: is, fromMs, toMs }) => is === "up" && fromMs < lowerMs && toMs === Infinity,
        );
        if (isThroughout && !names.has(service)) report("honest age", `${process.name} does not list ${service}`);
      }
    },
    async look(service) {
      const startedAtMs = nowMs();
      const response = await fetched(`/${service}`);
      const tookMs = nowMs() - startedAtMs;
      if (tookMs > ANSWER_MS_MAX) report("availability", `${process.name} took ${Math.round(tookMs)} ms`);
      const { status, headers } = response;
      tell(() => {
        const told = ["age-ms", "stale", "source"].map((name) => `${name} ${headers.get(`fingerpost-${name}`)}`).join();
        return `${process.name}: answered ${status} for ${service} ${headers.get("etag")} ${told}`;
      });
      if (status === 404) {
        const lowerMs = Math.min(confirmedSinceMs(startedAtMs - ABSENCE_READ_MS), startedAtMs) - slackMs();
        if (truth.mayBeEmptyAtMs(service) < lowerMs) {
          report("404 only when true", `${process.name}: ${service} is 404, and was there`);
        }
        // It was forgotten, as it has to be: what an older copy says of it later is something new.
        answered.delete(service);
        return;
      }
      if (status !== 200) {
        const before = answered.get(service);
        if (status !== 503 || before) report("availability", `${process.name}: ${service} is ${status}`);
        return;
      }
      const answer = (await response.json()) as Answer;
      const before = answered.get(service);
      answered.set(service, answer);
      if (before && compareVersions(answer, before) < 0) {
        const versions = `${before.epoch}/${before.revision} to ${answer.epoch}/${answer.revision}`;
        report("forward only", `${process.name}: ${service} went from ${versions}`);
      }
      const ageMs = Number(headers.get("fingerpost-age-ms") ?? NaN);
      if (ageMs > STALE_AFTER_MS && headers.get("fingerpost-stale") !== "true") {
        report("honest age", `${process.name}: ${service} is ${ageMs} ms old and not marked`);
      }
      const lowerMs = startedAtMs - ageMs - slackMs();
      if (!(truth.mayBeEmptyAtMs(service) >= lowerMs) && !answer.instances.some(isServed)) {
        const text = `${process.name}: ${service} has no instance at ${answer.epoch}/${answer.revision}`;
        report("never empty by accident", text);
      }
      checkInstances(service, answer, lowerMs);
    },
  };
}

const isServed = ({ status }: { readonly status: string }) => status === "up" || status === "suspect";

/** Whether etcd had it so at some time since; what is suspect, that it was there and was not up throughout. */
function isTrue(spells: readonly Spell[], status: string, generation: string, sinceMs: number): boolean {
  if (status !== "suspect") {
    return spells.some((spell) => spell.status === status && spell.generation === generation && spell.toMs >= sinceMs);
  }
  const last = spells.at(-1);
  const isUpThroughout = last?.status === "up" && last.toMs === Infinity && last.fromMs < sinceMs;
  return spells.length > 0 && !isUpThroughout;
}
