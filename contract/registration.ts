import * as v from "valibot";
import { FingerpostError } from "../kernel/errors.ts";
import { checkSchema, type Check } from "./check.ts";
import { nameSchema } from "./names.ts";
import { parseWith, plainObject, violationsOf } from "./validation.ts";

/** etcd keeps its last 5,000 entries in memory, so a value is kept small. Bytes of UTF-8. */
export const REGISTRATION_BYTES_MAX = 4096;
export const TAGS_MAX = 64;
export const METADATA_ENTRIES_MAX = 64;
export const WEIGHT_DEFAULT = 100;
export const WEIGHT_MAX = 65_535;
/** Bounds of the time an instance may go without a heartbeat. */
export const TTL_SECONDS_MIN = 1;
export const TTL_SECONDS_MAX = 3600;
export const TTL_SECONDS_DEFAULT = 30;

/** `draining` takes no new traffic and soon goes; `down` failed its heartbeat or check, and `cause` says which. */
export type Status = "up" | "draining" | "down";

/** What etcd holds for one instance, and what a caller of the resolver is told of it. */
export interface Registration {
  readonly id: string;
  /** A host name or an IP address, without scheme, port or zone. */
  readonly address: string;
  readonly port: number;
  readonly protocol: string;
  /** A public address, where it differs from protocol, address and port. */
  readonly url?: string;
  readonly version?: string;
  readonly region?: string;
  readonly zone?: string;
  /** A share of traffic relative to the other instances; 0 takes none while others can. */
  readonly weight: number;
  readonly tags: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly status: Status;
  /** Why an instance is `down`. */
  readonly cause?: string;
  /** RFC 3339, UTC. */
  readonly registeredAt: string;
}

const HOST_PATTERN = /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?$/;
const RESERVED_KEYS = ["__proto__", "constructor", "prototype"];
const METADATA_KEY_RULE = "must have keys of 1 to 128 of A-Z a-z 0-9 . _ / - that start with a letter or digit";
const ADDRESS_RULE = "must be a host name or an IP address, without scheme or port, and without a zone such as %eth0";
const URL_RULE =
  "must be an absolute URL, scheme://host, of at most 2048 characters, without white space, user name or password";
/** A browser or a script that opens one of these runs or reads something where it is, and asks no instance. */
const URL_SCHEMES_REFUSED = ["javascript", "data", "vbscript", "file", "blob"];

const text = (lengthMax: number) =>
  v.pipe(
    v.string("must be a string"),
    v.minLength(1, "must not be empty"),
    v.maxLength(lengthMax, `must be at most ${lengthMax} characters`),
  );

/** A zone (RFC 4007) means something on one machine only, and no URL can hold it. */
const hasNoZone = (value: string) => !value.includes("%");
const hostOnly = (value: string) => HOST_PATTERN.test(value) && !/^[\d.]+$/.test(value);

const fields = {
  address: v.pipe(
    v.string("must be a string"),
    v.union([v.pipe(v.string(), v.ip(), v.check(hasNoZone)), v.pipe(v.string(), v.check(hostOnly))], ADDRESS_RULE),
  ),
  port: v.pipe(
    v.number("must be a number"),
    v.integer("must be a whole number"),
    v.minValue(1, "must be 1 to 65535"),
    v.maxValue(65_535, "must be 1 to 65535"),
  ),
  protocol: v.pipe(
    v.string("must be a string"),
    v.regex(/^[a-z][a-z0-9+.-]{0,31}$/, "must be lower case, such as http, https, grpc or tcp"),
  ),
  url: v.pipe(
    v.string("must be a string"),
    v.maxLength(2048, URL_RULE),
    v.check(isPublicUrl, URL_RULE),
    v.check(hasPublicScheme, `must not have the scheme ${URL_SCHEMES_REFUSED.join(", ")}`),
  ),
  version: text(128),
  region: nameSchema,
  zone: nameSchema,
  weight: v.pipe(
    v.number("must be a number"),
    v.integer("must be a whole number"),
    v.minValue(0, `must be 0 to ${WEIGHT_MAX}`),
    v.maxValue(WEIGHT_MAX, `must be 0 to ${WEIGHT_MAX}`),
  ),
  tags: v.pipe(
    v.array(text(128), "must be an array of strings"),
    v.maxLength(TAGS_MAX, `must hold at most ${TAGS_MAX} tags`),
    v.check((tags) => new Set(tags).size === tags.length, "must not repeat a tag"),
  ),
  metadata: v.pipe(
    plainObject("must be an object of strings"),
    // valibot's record leaves these keys out without a word, and nothing a caller sends is to be lost so.
    v.check(
      (metadata) => !RESERVED_KEYS.some((key) => Object.hasOwn(metadata, key)),
      `must not have a key named ${RESERVED_KEYS.join(", ")}`,
    ),
    v.record(
      v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/, METADATA_KEY_RULE)),
      v.pipe(v.string("must be a string"), v.maxLength(2048, "must be at most 2048 characters")),
      "must be an object of strings",
    ),
    v.check(
      (metadata) => Object.keys(metadata).length <= METADATA_ENTRIES_MAX,
      `must hold at most ${METADATA_ENTRIES_MAX} entries`,
    ),
  ),
};

/** The body of a PUT: what the instance says of itself. What is left out takes its default; unknown keys are refused. */
export const registrationRequestSchema = v.pipe(
  plainObject("must be an object"),
  v.strictObject({
    id: v.exactOptional(nameSchema),
    address: fields.address,
    port: fields.port,
    protocol: v.optional(fields.protocol, "http"),
    url: v.exactOptional(fields.url),
    version: v.exactOptional(fields.version),
    region: v.exactOptional(fields.region),
    zone: v.exactOptional(fields.zone),
    weight: v.optional(fields.weight, WEIGHT_DEFAULT),
    tags: v.optional(fields.tags, []),
    metadata: v.optional(fields.metadata, {}),
    status: v.optional(v.picklist(["up", "draining"], 'must be "up" or "draining"'), "up"),
    ttlSeconds: v.exactOptional(
      v.pipe(
        v.number("must be a number"),
        v.minValue(TTL_SECONDS_MIN, `must be ${TTL_SECONDS_MIN} to ${TTL_SECONDS_MAX}`),
        v.maxValue(TTL_SECONDS_MAX, `must be ${TTL_SECONDS_MIN} to ${TTL_SECONDS_MAX}`),
      ),
    ),
    check: v.exactOptional(checkSchema),
  }),
  v.forward(
    v.partialCheck(
      [["ttlSeconds"], ["check"]],
      ({ ttlSeconds, check }) => ttlSeconds === undefined || check === undefined,
      "must not stand beside ttlSeconds: an instance either sends heartbeats or is checked",
    ),
    ["check"],
  ),
  v.transform(({ ttlSeconds, check, ...rest }): RegistrationRequest => {
    return check ? { ...rest, check } : { ...rest, ttlSeconds: ttlSeconds ?? TTL_SECONDS_DEFAULT };
  }),
);

/** What an instance says of itself, and how it shows that it is up: by heartbeats, or by a check. */
export type RegistrationRequest = Omit<Registration, "id" | "status" | "cause" | "registeredAt"> & {
  readonly id?: string;
  readonly status: "up" | "draining";
} & ({ readonly ttlSeconds: number; readonly check?: never } | { readonly check: Check; readonly ttlSeconds?: never });

/** What is read back from etcd: unknown keys pass, so that an older publisher reads a newer agent's values. */
const registrationSchema = v.object({
  id: nameSchema,
  address: fields.address,
  port: fields.port,
  protocol: fields.protocol,
  url: v.exactOptional(fields.url),
  version: v.exactOptional(fields.version),
  region: v.exactOptional(fields.region),
  zone: v.exactOptional(fields.zone),
  weight: fields.weight,
  tags: fields.tags,
  metadata: fields.metadata,
  status: v.picklist(["up", "draining", "down"]),
  cause: v.exactOptional(text(256)),
  registeredAt: v.pipe(v.string(), v.isoTimestamp()),
});

/** Throws `invalid_argument` with every broken rule. */
export function parseRegistrationRequest(body: unknown): RegistrationRequest {
  return parseWith(registrationRequestSchema, body, "The registration is not valid.");
}

/** The JSON of one etcd value. Throws `invalid_argument` when it is over REGISTRATION_BYTES_MAX. */
export function encodeRegistration(registration: Registration): string {
  const value = JSON.stringify(registration);
  // A UTF-16 unit is at most three bytes of UTF-8, so that most need no count.
  if (value.length * 3 <= REGISTRATION_BYTES_MAX) return value;
  const bytes = new TextEncoder().encode(value).byteLength;
  if (bytes > REGISTRATION_BYTES_MAX) {
    throw new FingerpostError("invalid_argument", "The registration is too large.", {
      violations: [
        {
          pointer: "",
          detail: `must be at most ${REGISTRATION_BYTES_MAX} bytes as JSON, but is ${bytes}; shorten tags or metadata`,
        },
      ],
    });
  }
  return value;
}

/** Reads one etcd value. Throws `invalid_argument` when it is not a registration of the instance `id`. */
export function decodeRegistration(value: string, id: string): Registration {
  let json: unknown;
  try {
    json = JSON.parse(value);
  } catch (cause) {
    throw new FingerpostError("invalid_argument", "The value is not JSON.", { cause });
  }
  const parsed = v.safeParse(registrationSchema, json);
  if (!parsed.success) {
    throw new FingerpostError("invalid_argument", "The value is not a registration.", {
      violations: violationsOf(parsed.issues),
    });
  }
  if (parsed.output.id !== id) {
    throw new FingerpostError("invalid_argument", `The value is of instance "${parsed.output.id}", not "${id}".`);
  }
  return parsed.output;
}

/**
 * A parser of URLs drops white space and line ends and puts up with missing or turned slashes. What is handed out is
 * the text as it was given, which others may read more strictly, so only what needs no such repair passes.
 */
function isPublicUrl(value: string): boolean {
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/\\]/i.test(value) || /[\s\p{Cc}]/u.test(value) || !URL.canParse(value)) return false;
  const url = new URL(value);
  return url.host !== "" && url.username === "" && url.password === "";
}

function hasPublicScheme(value: string): boolean {
  return !URL_SCHEMES_REFUSED.some((scheme) => value.toLowerCase().startsWith(`${scheme}:`));
}
