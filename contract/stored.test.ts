import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FingerpostError } from "../kernel/errors.ts";
import { aCatalog, aHead, aSnapshot } from "../test/support/arbitraries.ts";
import { mutatedText } from "../test/support/mutations.ts";
import { decodeCatalog, encodeCatalog } from "./catalog.ts";
import { openDocument, sealDocument } from "./envelope.ts";
import { decodeHead, encodeHead } from "./head.ts";
import { decodeSnapshotFound } from "./holds.ts";
import { decodeSnapshot, encodeSnapshot } from "./snapshot.ts";

const seal = fc.record({
  keyId: fc.stringMatching(/^[\w-]{11}$/),
  expiresAt: fc.maxSafeNat().map(String),
  signature: fc.stringMatching(/^[\w-]{86}$/),
});

/** What a decoder makes of a text; undefined where it refuses it. Whatever else it throws is thrown. */
function decoded<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof FingerpostError && error.code === "unavailable") return undefined;
    throw error;
  }
}

const documents = {
  head: {
    texts: aHead.map((head) => [head.namespace, "", encodeHead(head)] as const),
    again: (text: string, namespace: string) => {
      const head = decoded(() => decodeHead(text, namespace));
      return head && ([head, encodeHead(head)] as const);
    },
  },
  catalog: {
    texts: aCatalog.map((catalog) => [catalog.namespace, "", encodeCatalog(catalog)] as const),
    again: (text: string, namespace: string) => {
      const catalog = decoded(() => decodeCatalog(text, namespace));
      return catalog && ([catalog, encodeCatalog(catalog)] as const);
    },
  },
  snapshot: {
    texts: aSnapshot.map(
      ({ holds: _holds, ...snapshot }) => [snapshot.namespace, snapshot.service, encodeSnapshot(snapshot)] as const,
    ),
    again: (text: string, namespace: string, service: string) => {
      const snapshot = decoded(() => decodeSnapshot(text, namespace, service));
      return snapshot && ([snapshot, encodeSnapshot(snapshot)] as const);
    },
  },
  "snapshot with holds": {
    texts: aSnapshot.map((snapshot) => [snapshot.namespace, snapshot.service, encodeSnapshot(snapshot)] as const),
    again: (text: string, namespace: string, service: string) => {
      const found = decoded(() => decodeSnapshotFound(text, namespace, service));
      return found && ([found, JSON.stringify({ schema: 1, kind: "service", namespace, service, ...found })] as const);
    },
  },
};

describe.each(Object.entries(documents))("a stored %s", (kind, { texts, again }) => {
  it("is read as it was written, signed or not", () => {
    fc.assert(
      fc.property(texts, seal, ([namespace, service, text], envelope) => {
        const plain = again(text, namespace, service);
        expect(plain).toBeDefined();
        // What a publisher reads of a snapshot is not all of it.
        const whole = JSON.parse(text) as object;
        const written = JSON.parse(plain?.[1] ?? "") as object;
        expect(kind === "snapshot with holds" ? { holds: [], ...whole, ...written } : written).toEqual(
          kind === "snapshot with holds" ? { holds: [], ...whole } : whole,
        );
        expect(again(sealDocument(envelope, text), namespace, service)).toEqual(plain);
      }),
    );
  });

  it("that is damaged or forged is read or refused, and what was read is read the same when it is written again", () => {
    const damaged = texts.chain(([namespace, service, text]) =>
      mutatedText(fc.constant(text)).map((mutant) => [namespace, service, mutant] as const),
    );
    fc.assert(
      fc.property(damaged, ([namespace, service, mutant]) => {
        const first = again(mutant, namespace, service);
        expect(first && again(first[1], namespace, service)?.[1]).toBe(first?.[1]);
      }),
      { numRuns: 400 },
    );
  });

  it("with a number that is none in JSON, wherever it stands, is read or refused for good", () => {
    fc.assert(
      fc.property(texts, ([namespace, service, text]) => {
        for (const { index, 0: digits } of text.matchAll(/(?<=[:[,])\d+(?:\.\d+)?(?=[,\]}])/g)) {
          const infinite = `${text.slice(0, index)}1e999${text.slice(index + digits.length)}`;
          const first = again(infinite, namespace, service);
          expect(first && again(first[1], namespace, service)?.[1]).toBe(first?.[1]);
        }
      }),
      { numRuns: 30 },
    );
  });

  it("of another name than the key it was under is refused", () => {
    fc.assert(
      fc.property(texts, ([namespace, service, text]) => {
        expect(again(text, `${namespace}x`, service)).toBeUndefined();
        expect(service === "" || again(text, namespace, `${service}x`) === undefined).toBe(true);
      }),
    );
  });
});

describe("the line before a signed document", () => {
  it("is split off exactly, whatever the document", () => {
    fc.assert(
      fc.property(seal, fc.string({ unit: "binary" }), (envelope, document) => {
        expect(openDocument(sealDocument(envelope, document))).toEqual({ document, envelope });
      }),
    );
  });

  it("that is not whole is none: the text is an unsigned one, or refused as of a later format", () => {
    const line = fc.tuple(seal, fc.nat(), fc.string({ unit: "binary", minLength: 1, maxLength: 1 }));
    fc.assert(
      fc.property(line, ([envelope, at, character]) => {
        const whole = sealDocument(envelope, "{}");
        const index = at % whole.indexOf("\n");
        const text = whole.slice(0, index) + character + whole.slice(index + 1);
        const opened = decoded(() => openDocument(text));
        const again = opened?.envelope ? sealDocument(opened.envelope, opened.document) : (opened?.document ?? text);
        expect(again).toBe(text);
      }),
    );
  });
});
