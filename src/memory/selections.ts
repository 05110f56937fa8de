import { createKeyPicker, createRandomPicker } from "../../contract/pick.ts";
import type { Instance } from "../../contract/snapshot.ts";
import type { Version } from "../../contract/version.ts";
import type { Random } from "../../kernel/random.ts";
import { createBoundedMap } from "./bounded-map.ts";
import type { Held } from "./held.ts";
import type { Place } from "./near.ts";
import type { Question } from "../http/question.ts";
import { candidatesOf, NO_FILTERS, select } from "./selection.ts";

/** Selections remembered at once: some for each of as many services as are held. */
const ENTRIES_MAX = 20_000;
/** What one takes by itself, and for each instance that a pick chooses from. */
const BYTES_BASE = 384;
const BYTES_PER_CANDIDATE = 32;

const encoder = new TextEncoder();

/**
 * What filters select out of snapshots, worked out once for each revision. Nothing in it depends on time: a snapshot
 * whose time is over is not asked about. It holds no snapshot, so that none is kept alive once a newer one has come.
 */
export interface Selections {
  /** The answer's body. */
  body(held: Held, question: Question, place: Place | undefined): Uint8Array<ArrayBuffer>;
  /** Undefined when nothing matches. */
  pick(held: Held, question: Question, place: Place | undefined, key: string | undefined): Instance | undefined;
}

type Picker = (key: string | undefined) => number;

/** `bytesMax`: their estimated memory in all. What takes more than all of it is worked out each time. */
export function createSelections(bytesMax: number, random: Random): Selections {
  // Twice as much for bodies: a picker takes a fraction of one.
  const bodies = createMemo<Uint8Array<ArrayBuffer>>((bytesMax * 2) / 3);
  const pickers = createMemo<Picker>(bytesMax / 3);

  function pickerOf({ snapshot }: Held, { type, filters }: Question, place: Place | undefined): Weighed<Picker> {
    const candidates = candidatesOf(snapshot.instances, filters, place);
    const bytes = BYTES_PER_CANDIDATE * candidates.length;
    const indexes = indexesOf(candidates, snapshot.instances);
    if (type === "pick-by-key") {
      const byKey = createKeyPicker(candidates);
      return { bytes, value: (key) => indexes[byKey(key ?? "")] ?? -1 };
    }
    const atRandom = createRandomPicker(candidates);
    return { bytes, value: () => indexes[atRandom(random)] ?? -1 };
  }

  return {
    body(held, question, place) {
      const { filters } = question;
      if (filters === NO_FILTERS) return held.unfiltered(() => held.body(select(held.snapshot.instances, filters)));
      return bodies.get(held.snapshot, question, place, () => {
        const value = encoder.encode(held.body(select(held.snapshot.instances, filters, place)));
        return { value, bytes: value.length };
      });
    },
    pick(held, question, place, key) {
      const picker = pickers.get(held.snapshot, question, place, () => pickerOf(held, question, place));
      return held.snapshot.instances[picker(key)];
    },
  };
}

/** By itself, since what any function made beside a picker holds is held by the picker too. */
function indexesOf(candidates: readonly Instance[], instances: readonly Instance[]): Uint32Array {
  const indexByInstance = new Map(instances.map((instance, index) => [instance, index]));
  return Uint32Array.from(candidates, (instance) => indexByInstance.get(instance) ?? -1);
}

interface Weighed<T> {
  readonly value: T;
  readonly bytes: number;
}

interface Memo<T> {
  get(version: Version, question: Question, place: Place | undefined, make: () => Weighed<T>): T;
}

function createMemo<T>(bytesMax: number): Memo<T> {
  const memo = createBoundedMap<string, Weighed<T> & Version>({
    entriesMax: ENTRIES_MAX,
    weightMax: bytesMax,
    weightOf: ({ bytes }) => bytes,
  });
  return {
    get({ epoch, revision }, { selection }, place, make) {
      const key = place === undefined ? selection : `${selection}@${place.key}`;
      const known = memo.get(key);
      if (known !== undefined && known.revision === revision && known.epoch === epoch) return known.value;
      const { value, bytes } = make();
      memo.set(key, { value, epoch, revision, bytes: bytes + 2 * key.length + BYTES_BASE });
      return value;
    },
  };
}
