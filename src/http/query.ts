import { isName, NAME_RULE } from "../../contract/names.ts";
import { FingerpostError, type Violation } from "../../kernel/errors.ts";
import { VALUE_LENGTH_MAX, type Family, type Many, type One, type ParameterTable, type Value } from "./parameters.ts";

/** Parameters of one query. */
export const PARAMETERS_MAX = 64;

/** What a query says, by the names of its table. */
export type QueryOf<Table extends ParameterTable> = {
  readonly [Name in keyof Table]: Table[Name] extends One<infer T, infer Fallback>
    ? T | Fallback
    : Table[Name] extends Many<infer T>
      ? readonly T[]
      : Table[Name] extends Family<infer T>
        ? readonly (readonly [key: string, value: T])[]
        : never;
};

/**
 * Reads the query of a URL by a table of all that it may have. Throws `invalid_argument` with every rule that is broken,
 * and every parameter that is not in the table.
 */
export function readQuery<const Table extends ParameterTable>(url: string, table: Table): QueryOf<Table> {
  // Not by URL: workerd hands on a Host that makes none, such as one with a space in it.
  const searchParams = new URLSearchParams(/^[^?#]*\?([^#]*)/.exec(url)?.[1]);
  if (searchParams.size > PARAMETERS_MAX) {
    throw new FingerpostError("invalid_argument", `The query has more than ${PARAMETERS_MAX} parameters.`);
  }
  const texts = new Map<string, string[]>();
  for (const [name, text] of searchParams) texts.set(name, [...(texts.get(name) ?? []), text]);
  const violations: Violation[] = [];
  const refuse = (parameter: string, detail: string) => void violations.push({ parameter, detail });

  /** Takes a parameter out of what is given; a value that breaks its rule is refused and left out. */
  function take<T>(name: string, { rule, read }: Value<T>, timesMax: number): readonly T[] {
    const given = [...new Set(texts.get(name))];
    const repeated = timesMax === 1 ? (texts.get(name)?.length ?? 0) : given.length;
    texts.delete(name);
    if (repeated > timesMax)
      refuse(name, timesMax === 1 ? "must be given once" : `must be given at most ${timesMax} times`);
    return given.flatMap((text) => {
      if (text.length > VALUE_LENGTH_MAX) {
        refuse(name, `must be at most ${VALUE_LENGTH_MAX} characters`);
        return [];
      }
      const value = read(text);
      if (value === undefined) refuse(name, rule);
      return value === undefined ? [] : [value];
    });
  }

  const query: Record<string, unknown> = {};
  for (const [name, parameter] of Object.entries(table)) {
    const { type, value } = parameter;
    if (type === "one") query[name] = take(name, value, 1)[0] ?? parameter.fallback;
    else if (type === "many") {
      if (parameter.timesMin > 0 && !texts.has(name)) refuse(name, "must be given at least once");
      query[name] = take(name, value, parameter.timesMax);
    } else {
      const prefix = `${name}.`;
      const members = [...texts.keys()].filter((member) => member !== prefix && member.startsWith(prefix));
      query[name] = members.flatMap((member) =>
        take(member, value, 1).map((taken) => [member.slice(prefix.length), taken]),
      );
    }
  }
  for (const name of texts.keys()) refuse(name.slice(0, VALUE_LENGTH_MAX), "is not a known parameter");
  if (violations.length > 0) {
    throw new FingerpostError("invalid_argument", "The query is not valid.", { violations });
  }
  return query as QueryOf<Table>;
}

/** The name of a service or namespace in a path. Throws `invalid_argument`. */
export function pathName(parameter: string, value: string): string {
  if (isName(value)) return value;
  throw new FingerpostError("invalid_argument", `"${value.slice(0, 128)}" is not a name.`, {
    violations: [{ parameter, detail: NAME_RULE }],
  });
}
