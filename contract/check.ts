import * as v from "valibot";
import { plainObject } from "./validation.ts";

/** Shorter intervals cost the instance more than they tell; longer ones are no check. */
const INTERVAL_SECONDS = { least: 1, most: 3600, default: 10 };
const TIMEOUT_SECONDS = { least: 0.1, most: 60, default: 2 };
/** Results in a row until an instance that is down is up, and one that is up is down. */
const RISE = { least: 1, most: 100, default: 2 };
const FALL = { least: 1, most: 100, default: 3 };
/** How long an instance may stay down before it is removed: an hour to repair it in, a week at most. */
const DEREGISTER_AFTER_SECONDS = { least: 10, most: 604_800, default: 3600 };
const EXPECTED_STATUSES_MAX = 32;
const PATH_LENGTH_MAX = 1024;
const GRPC_SERVICE_LENGTH_MAX = 256;
const PATH_RULE = `must start with / and be at most ${PATH_LENGTH_MAX} visible ASCII characters, without #`;

interface Bounds {
  readonly least: number;
  readonly most: number;
}

function between({ least, most }: Bounds) {
  const rule = `must be ${least} to ${most}`;
  return v.pipe(v.number("must be a number"), v.minValue(least, rule), v.maxValue(most, rule));
}

const wholeBetween = (bounds: Bounds) => v.pipe(between(bounds), v.integer("must be a whole number"));
const yesOrNo = v.boolean("must be true or false");

const common = {
  /** Where the check connects to, if not to the instance's own port. The host is always the instance's own. */
  port: v.exactOptional(wholeBetween({ least: 1, most: 65_535 })),
  intervalSeconds: v.optional(between(INTERVAL_SECONDS), INTERVAL_SECONDS.default),
  /** Left out: 2, or the interval if that is shorter. */
  timeoutSeconds: v.exactOptional(between(TIMEOUT_SECONDS)),
  rise: v.optional(wholeBetween(RISE), RISE.default),
  fall: v.optional(wholeBetween(FALL), FALL.default),
  /** What an instance is until its first result: `down`, so that it gets no traffic before it answers, or `up`. */
  initial: v.optional(v.picklist(["down", "up"], 'must be "down" or "up"'), "down"),
  deregisterAfterSeconds: v.optional(between(DEREGISTER_AFTER_SECONDS), DEREGISTER_AFTER_SECONDS.default),
};

const tls = {
  /** Whether to speak TLS. Left out: if the instance's protocol is `https` or `grpcs`. */
  tls: v.exactOptional(yesOrNo),
  /** Whether the certificate must be valid for the instance's address. A check sends no secret, so it may be off. */
  tlsVerify: v.optional(yesOrNo, true),
};

const types = [
  v.strictObject({
    type: v.literal("http"),
    ...common,
    ...tls,
    path: v.optional(
      v.pipe(v.string("must be a string"), v.maxLength(PATH_LENGTH_MAX, PATH_RULE), v.regex(/^\/[!"$-~]*$/, PATH_RULE)),
      "/",
    ),
    method: v.optional(v.picklist(["GET", "HEAD"], "must be GET or HEAD"), "GET"),
    /** The statuses that pass. Left out: 200 to 299. Redirects are not followed. */
    expectStatus: v.exactOptional(
      v.pipe(
        v.array(wholeBetween({ least: 200, most: 599 }), "must be an array of statuses"),
        v.minLength(1, "must hold at least one status"),
        v.maxLength(EXPECTED_STATUSES_MAX, `must hold at most ${EXPECTED_STATUSES_MAX} statuses`),
      ),
    ),
  }),
  v.strictObject({ type: v.literal("tcp"), ...common }),
  v.strictObject({
    type: v.literal("grpc"),
    ...common,
    ...tls,
    /** As in grpc.health.v1.HealthCheckRequest; empty asks for the server as a whole. */
    service: v.optional(
      v.pipe(
        v.string("must be a string"),
        v.maxLength(GRPC_SERVICE_LENGTH_MAX, `must be at most ${GRPC_SERVICE_LENGTH_MAX} characters`),
      ),
      "",
    ),
  }),
] as const;

/** How the agent is to find out whether an instance is up. What is left out takes its default. */
export const checkSchema = v.pipe(
  plainObject("must be an object"),
  v.variant("type", types, "must be http, tcp or grpc"),
  v.forward(
    v.partialCheck(
      [["timeoutSeconds"], ["intervalSeconds"]],
      ({ timeoutSeconds = 0, intervalSeconds }) => !(timeoutSeconds > intervalSeconds),
      "must be at most intervalSeconds",
    ),
    ["timeoutSeconds"],
  ),
  v.transform(({ timeoutSeconds, ...check }) => ({
    ...check,
    timeoutSeconds: timeoutSeconds ?? Math.min(TIMEOUT_SECONDS.default, check.intervalSeconds),
  })),
);

export type Check = v.InferOutput<typeof checkSchema>;
export type HttpCheck = Extract<Check, { readonly type: "http" }>;
export type GrpcCheck = Extract<Check, { readonly type: "grpc" }>;
