import * as v from "valibot";
import { FingerpostError } from "../kernel/errors.ts";
import { openDocument } from "./envelope.ts";

/** The version of everything stored in Redis. A reader refuses a newer one: it would have to guess. */
export const SCHEMA_VERSION = 1;

export type DocumentKind = "head" | "catalog" | "service";

export const safeInteger = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/**
 * Objects and arrays within each other, of which a document of ours has four. JSON.parse takes any number of them, and
 * JSON.stringify, by which answers are made of what was read, ends in a RangeError.
 */
const NESTING_MAX = 32;

/** An epoch or a revision: far enough below 2^53 that whoever reads it can go on counting from there. */
export const versionNumber = v.pipe(safeInteger, v.maxValue(2 ** 52));

/** The fields every stored document begins with. */
export function documentEntries<const Kind extends DocumentKind>(kind: Kind) {
  return { schema: v.literal(SCHEMA_VERSION), kind: v.literal(kind), namespace: v.string() };
}

/**
 * Reads one stored document and checks that it is of the schema, and has the identifying fields, that the reader asked
 * for: what is found under a key must say itself that it belongs there. Signed or not is the same here, and nothing is
 * verified.
 */
export function decodeDocument<const Schema extends v.GenericSchema<unknown, object>>(
  schema: Schema,
  text: string,
  identity: Readonly<Record<string, string>>,
): v.InferOutput<Schema> {
  const { document } = openDocument(text);
  let json: unknown;
  try {
    json = JSON.parse(document);
  } catch (cause) {
    throw new FingerpostError("unavailable", "A stored document is not JSON.", { cause });
  }
  const parsed = v.safeParse(schema, json);
  if (!parsed.success || !isShallow(parsed.output, NESTING_MAX)) {
    const version = isObject(json) ? json["schema"] : undefined;
    throw new FingerpostError(
      "unavailable",
      typeof version === "number" && version > SCHEMA_VERSION
        ? `A stored document has schema ${version}; this build reads ${SCHEMA_VERSION}. Upgrade it first.`
        : "A stored document does not have the expected fields.",
    );
  }
  const fields = parsed.output as Readonly<Record<string, unknown>>;
  for (const [name, expected] of Object.entries(identity)) {
    if (fields[name] !== expected) {
      throw new FingerpostError("unavailable", `A stored document is of another ${name} than the key it was under.`);
    }
  }
  return parsed.output;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function isShallow(value: unknown, levels: number): boolean {
  return !isObject(value) || (levels > 0 && Object.values(value).every((inner) => isShallow(inner, levels - 1)));
}
