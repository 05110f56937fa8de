import { FingerpostError, type Violation } from "../kernel/errors.ts";

/** Variables and secrets by name, as a platform hands them over. */
export type Env = Readonly<Record<string, unknown>>;

/**
 * Reads variables one by one, and remembers what was wrong with each. No text that it makes holds a value: what is meant
 * to be a name may be a secret in the wrong place.
 */
export interface EnvReader {
  /** Without the spaces around it; undefined where it is absent or empty. */
  readonly text: (name: string) => string | undefined;
  /** As `text`; "" where it is missing, which is then refused. */
  required(name: string): string;
  /** A whole number of `least` to `most`, or `fallback`. */
  whole(name: string, bounds: { readonly least: number; readonly most: number }, fallback: number): number;
  /** `true` or `false`; false where it is absent. */
  flag(name: string): boolean;
  /** What is separated by commas. */
  readonly list: (name: string) => readonly string[] | undefined;
  readonly refuse: (name: string, detail: string) => void;
  /** The variables that look like ours and that nobody has read. What a platform binds is no variable. */
  unread(): readonly string[];
  /** Throws `internal` that names every variable that was refused. */
  end(): void;
}

/** Others belong to whoever else runs there. */
const OURS = /^FINGERPOST_/;

export function createEnvReader(env: Env): EnvReader {
  const violations: Violation[] = [];
  const read = new Set<string>();

  function get(name: string): unknown {
    read.add(name);
    return env[name];
  }
  function refuse(parameter: string, detail: string): void {
    violations.push({ parameter, detail });
  }
  function text(name: string): string | undefined {
    const value = get(name);
    return typeof value === "string" && value.trim() !== "" ? value.trim() : undefined;
  }

  return {
    text,
    refuse,
    required(name) {
      const value = text(name);
      if (value === undefined) refuse(name, "is required");
      return value ?? "";
    },
    whole(name, { least, most }, fallback) {
      const value = text(name);
      if (value === undefined) return fallback;
      const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
      if (number >= least && number <= most) return number;
      refuse(name, `must be a whole number of ${least} to ${most}`);
      return fallback;
    },
    flag(name) {
      const value = text(name);
      if (value !== undefined && value !== "true" && value !== "false") refuse(name, "must be true or false");
      return value === "true";
    },
    list: (name) =>
      text(name)
        ?.split(",")
        .map((part) => part.trim()),
    unread: () =>
      Object.keys(env).filter((name) => OURS.test(name) && typeof env[name] === "string" && !read.has(name)),
    end() {
      if (violations.length === 0) return;
      const texts = violations.map(({ parameter, detail }) => `${parameter} ${detail}`);
      throw new FingerpostError("internal", `The resolver's environment is not valid: ${texts.join("; ")}.`, {
        violations,
      });
    },
  };
}
