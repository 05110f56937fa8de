import type { ErrorCode } from "../kernel/errors.ts";
import type { OperationName } from "../src/http/operations.ts";
import { eventsExample, pickExample, resolveExample, serviceExample, servicesExample } from "./examples.ts";
import type { RequestHeader } from "./parameters.ts";

/** An answer that is no error. */
export interface Answer {
  /** What a 200 says. */
  readonly says: string;
  readonly content: Readonly<Record<string, object>>;
  /** Has an ETag, and may be a 304. */
  readonly tagged: boolean;
}

interface Described extends Answer {
  readonly summary: string;
  readonly description?: string;
  readonly requestHeaders?: readonly RequestHeader[];
}

const json = (schema: string, example: object) => ({
  "application/json": { schema: { $ref: `#/components/schemas/${schema}` }, example },
});
const status = (value: string) => ({
  "application/json": {
    schema: {
      type: "object",
      properties: { status: { type: "string", const: value } },
      required: ["status"],
    },
    example: { status: value },
  },
});

/** What is answered to each operation. */
export const ANSWERS: Readonly<Record<OperationName, Described>> = {
  service: {
    summary: "The instances of a service.",
    description: "Without instances that match it is 200 with none.",
    says: "The instances that match.",
    content: json("Service", serviceExample),
    tagged: true,
  },
  pick: {
    summary: "One instance of a service.",
    description: "503 while none matches.",
    says: "The instance that was picked.",
    content: json("Pick", pickExample),
    tagged: false,
  },
  watch: {
    summary: "The changes of a service.",
    description: [
      "Server-Sent Events, or a long poll: as Accept says, or else a long poll where `revision` or `wait` is given.",
      "Events: `service`, a Service with its revision as the id, now and when what matches changes; `unknown`, a Problem, when",
      "there is no such service; `status`, a Status, when that changes. A stream ends within five minutes: connect again.",
    ].join(" "),
    says: "Events, without these headers; or the answer of a long poll.",
    content: {
      "application/json": { schema: { $ref: "#/components/schemas/Service" } },
      "text/event-stream": { schema: { type: "string" }, example: eventsExample },
    },
    tagged: true,
    requestHeaders: ["Last-Event-ID"],
  },
  services: {
    summary: "The names of the services, in pages.",
    description: "Only those that the credential may look up.",
    says: "One page.",
    content: json("Services", servicesExample),
    tagged: true,
  },
  resolve: {
    summary: "Several services in one answer.",
    description: "The filters hold for each. The headers are of the oldest answer.",
    says: "Each name is in `services` or in `errors`. No ETag where one could not be looked up.",
    content: json("Resolved", resolveExample),
    tagged: true,
  },
};

/** What is answered to anyone: nothing of it is a secret. */
export const ANSWERS_WITHOUT_A_KEY: Readonly<Record<string, Described & { readonly fails: readonly ErrorCode[] }>> = {
  "/healthz": {
    summary: "Whether it runs.",
    says: "It does.",
    content: status("ok"),
    tagged: false,
    fails: [],
  },
  "/readyz": {
    summary: "Whether it can answer.",
    says: "It can.",
    content: status("ready"),
    tagged: false,
    fails: ["unavailable"],
  },
  "/openapi.json": {
    summary: "This document.",
    says: "OpenAPI 3.1.",
    content: { "application/json": { schema: { type: "object" } } },
    tagged: true,
    fails: [],
  },
  "/docs": {
    summary: "This document, to be read.",
    says: "A page without scripts.",
    content: { "text/html": { schema: { type: "string" } } },
    tagged: true,
    fails: [],
  },
};
