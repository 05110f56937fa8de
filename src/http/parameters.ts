import { tryParseRange, type SemVerRange } from "verkit/range";
import { NAME_PATTERN, NAME_RULE } from "../../contract/names.ts";

/** Characters of a value. A range takes time in its length. */
export const VALUE_LENGTH_MAX = 2048;
const RANGE_LENGTH_MAX = 128;

/** JSON Schema of one value, as the OpenAPI document tells it. */
export interface ValueSchema {
  readonly type: "string" | "integer";
  readonly pattern?: string;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
}

/** What the text of a value must be: as a schema, in the words of a refusal, and as what reads it. */
export interface Value<T> {
  readonly schema: ValueSchema;
  readonly rule: string;
  /** Undefined when the text breaks the rule. */
  readonly read: (text: string) => T | undefined;
}

/** A parameter of a query that is given once at most. */
export interface One<T, Fallback> {
  readonly type: "one";
  readonly value: Value<T>;
  /** Stands for what is not given. */
  readonly fallback: Fallback;
}

/** A parameter that repeats; the same value again counts once. */
export interface Many<T> {
  readonly type: "many";
  readonly value: Value<T>;
  readonly timesMin: number;
  readonly timesMax: number;
}

/** Parameters whose names begin with this one's and a dot, each given once at most. */
export interface Family<T> {
  readonly type: "family";
  readonly value: Value<T>;
}

export type Parameter = One<unknown, unknown> | Many<unknown> | Family<unknown>;

/** Parameters by name: all that a request may have. */
export type ParameterTable = Readonly<Record<string, Parameter>>;

export function one<T>(value: Value<T>): One<T, undefined>;
export function one<T>(value: Value<T>, fallback: T): One<T, T>;
export function one<T>(value: Value<T>, fallback?: T): One<T, T | undefined> {
  return { type: "one", value, fallback };
}

export function many<T>(value: Value<T>, times: { readonly min: number; readonly max: number }): Many<T> {
  return { type: "many", value, timesMin: times.min, timesMax: times.max };
}

export function family<T>(value: Value<T>): Family<T> {
  return { type: "family", value };
}

export const anyText: Value<string> = {
  schema: { type: "string", maxLength: VALUE_LENGTH_MAX },
  rule: `must be at most ${VALUE_LENGTH_MAX} characters`,
  read: (text) => text,
};

/** A name of a service, region or zone. */
export const aName: Value<string> = {
  schema: { type: "string", pattern: NAME_PATTERN.source },
  rule: NAME_RULE,
  read: (text) => (NAME_PATTERN.test(text) ? text : undefined),
};

export function oneOf<const Choice extends string>(choices: readonly Choice[]): Value<Choice> {
  return {
    schema: { type: "string", enum: choices },
    rule: `must be ${choices.join(", ")}`,
    read: (text) => choices.find((choice) => choice === text),
  };
}

/** A whole number of `min` to `max`, in decimal digits without leading zeros. */
export function wholeNumber(min: number, max: number): Value<number> {
  return {
    schema: { type: "integer", minimum: min, maximum: max },
    rule: `must be a whole number of ${min} to ${max}`,
    read(text) {
      const number = /^(0|[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN;
      return number >= min && number <= max ? number : undefined;
    },
  };
}

/** A time in milliseconds, written as `30s`, `1500ms` or whole seconds. */
export function duration(msMax: number): Value<number> {
  return {
    schema: { type: "string", pattern: "^\\d{1,6}(ms|s)?$" },
    rule: `must be a time such as 30s or 1500ms, of at most ${msMax / 1000}s`,
    read(text) {
      const [, digits, unit] = /^(\d{1,6})(ms|s)?$/.exec(text) ?? [];
      const ms = Number(digits) * (unit === "ms" ? 1 : 1000);
      return ms <= msMax ? ms : undefined;
    },
  };
}

export const versionRange: Value<SemVerRange> = {
  schema: { type: "string", maxLength: RANGE_LENGTH_MAX },
  rule: `must be a semver range such as ^1.4 or >=2 <3, of at most ${RANGE_LENGTH_MAX} characters`,
  read(text) {
    // To semver a blank range is any version; here it is a variable that was not set, and * says what is meant.
    if (text.length > RANGE_LENGTH_MAX || text.trim() === "") return undefined;
    return tryParseRange(text) ?? undefined;
  },
};
