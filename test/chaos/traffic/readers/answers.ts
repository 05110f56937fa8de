import type { IncomingHttpHeaders } from "node:http";
import { HEADER_AGE_MS, HEADER_SOURCE, HEADER_STALE, type ServiceAnswer } from "../../../../contract/http.ts";
import type { ReadEvent, ReadInstance } from "../../history/event.ts";

/** Of answers whose text is known. More than a fleet's services have versions in a few minutes; past it all are forgotten. */
const ANSWERS_MAX = 2000;

/** What a read tells of a service. */
export type Told = Pick<ReadEvent, "epoch" | "revision" | "etcdRevision" | "instances">;

/** Reads bodies. Equal ones are the same object, so that a long history holds each answer once. */
export interface Answers {
  /** Throws for what is no answer. */
  ofText(text: string): Told;
  of(answer: Pick<ServiceAnswer, "epoch" | "revision" | "etcdRevision" | "instances">): Told;
}

export function createAnswers(): Answers {
  const known = new Map<string, Told>();
  const of: Answers["of"] = ({ epoch, revision, etcdRevision, instances }) => {
    const entries = instances.map(({ id, status, metadata }): [string, ReadInstance] => {
      return [id, { status, generation: Number(metadata["generation"] ?? -1) }];
    });
    return { epoch, revision, etcdRevision, instances: Object.fromEntries(entries) };
  };
  return {
    of,
    ofText(text) {
      const before = known.get(text);
      if (before) return before;
      const told = of(JSON.parse(text) as ServiceAnswer);
      if (known.size >= ANSWERS_MAX) known.clear();
      known.set(text, told);
      return told;
    },
  };
}

/** What the headers of a lookup's answer say of it. */
export function toldByHeaders(headers: IncomingHttpHeaders): Pick<ReadEvent, "ageMs" | "stale" | "source"> {
  const header = (name: string) => {
    const value = headers[name.toLowerCase()];
    return typeof value === "string" ? value : undefined;
  };
  const ageMs = header(HEADER_AGE_MS);
  const stale = header(HEADER_STALE);
  const source = header(HEADER_SOURCE);
  return {
    ...(ageMs === undefined ? {} : { ageMs: Number(ageMs) }),
    ...(stale === undefined ? {} : { stale: stale === "true" }),
    ...(source === undefined ? {} : { source }),
  };
}
