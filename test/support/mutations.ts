import * as fc from "fast-check";
import { anOddJsonText, anyJson } from "./arbitraries.ts";

/** One change to a JSON value: of what stands at the place that `at` counts to, through all of its values in order. */
interface Mutation {
  readonly at: number;
  readonly how: "remove" | "replace" | "wrap" | "repeat" | "rename";
  readonly by: unknown;
}

const mutations: fc.Arbitrary<readonly Mutation[]> = fc.array(
  fc.record({
    at: fc.nat({ max: 400 }),
    how: fc.constantFrom<Mutation["how"]>("remove", "replace", "replace", "replace", "wrap", "repeat", "rename"),
    by: anyJson,
  }),
  { minLength: 1, maxLength: 3 },
);

/** A value of `valid` that is changed in a few places: it passes the first checks, and fails, or not, at a later one. */
export function mutated(valid: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc.tuple(valid, mutations).map(([value, changes]) => {
    // Not structuredClone: what is changed is what was serialised.
    const root = { value: JSON.parse(JSON.stringify(value)) as unknown };
    for (const change of changes) apply(root, change);
    return root.value;
  });
}

/** The text of one: changed as JSON, or in its characters, cut, or replaced by what no serialiser writes. */
export function mutatedText(valid: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const opening = /^signed:[^\n]*\n/;
  const asJson = fc.tuple(valid, mutated(valid.map((text) => JSON.parse(text.replace(opening, "")) as unknown)));
  return fc.oneof(
    { weight: 6, arbitrary: asJson.map(([text, value]) => `${opening.exec(text)?.[0] ?? ""}${JSON.stringify(value)}`) },
    { weight: 1, arbitrary: fc.tuple(valid, fc.nat()).map(([text, at]) => text.slice(0, at % (text.length + 1))) },
    { weight: 1, arbitrary: fc.tuple(valid, fc.nat(), fc.string({ unit: "binary", maxLength: 3 })).map(inserted) },
    { weight: 1, arbitrary: fc.tuple(valid, fc.nat(), anOddJsonText).map(withOddValue) },
    { weight: 1, arbitrary: anOddJsonText },
    { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 60 }) },
  );
}

function inserted([text, at, piece]: readonly [string, number, string]): string {
  const index = at % (text.length + 1);
  return text.slice(0, index) + piece + text.slice(index + 1);
}

/** One of its numbers, texts or words becomes something that only a text can hold. */
function withOddValue([text, at, odd]: readonly [string, number, string]): string {
  const values = [...text.matchAll(/(?<=[:[,])(?:-?\d[\d.e+-]*|"(?:[^"\\]|\\.)*"(?!:)|true|false|null)/g)];
  const chosen = values[at % (values.length || 1)];
  if (!chosen) return odd;
  return text.slice(0, chosen.index) + odd + text.slice(chosen.index + chosen[0].length);
}

interface Slot {
  readonly parent: Record<string, unknown> | unknown[];
  readonly key: string;
}

function apply(root: { value: unknown }, { at, how, by: drawn }: Mutation): void {
  // What is drawn may be drawn again, and is not to be changed by what comes after.
  const by = structuredClone(drawn);
  const slots = [...slotsOf(root)];
  const slot = slots[at % slots.length];
  if (!slot) return;
  const { parent, key } = slot;
  const holder = parent as Record<string, unknown>;
  const value = holder[key];
  if (how === "replace") set(parent, key, by);
  else if (how === "wrap") set(parent, key, [value]);
  else if (parent === (root as unknown)) set(parent, key, by);
  else if (how === "repeat" && Array.isArray(parent)) parent.push(value);
  else if (Array.isArray(parent)) parent.splice(Number(key), 1);
  else {
    Reflect.deleteProperty(parent, key);
    if (how !== "remove") set(parent, how === "rename" && typeof by === "string" ? by : "__proto__", value);
  }
}

/** Own properties only: an assignment to `__proto__` would make none. */
function set(parent: Slot["parent"], key: string, value: unknown): void {
  Object.defineProperty(parent, key, { value, writable: true, enumerable: true, configurable: true });
}

function* slotsOf(parent: object): Generator<Slot, void, void> {
  for (const key of Object.keys(parent)) {
    yield { parent: parent as Slot["parent"], key };
    const value = (parent as Record<string, unknown>)[key];
    if (typeof value === "object" && value !== null) yield* slotsOf(value);
  }
}
