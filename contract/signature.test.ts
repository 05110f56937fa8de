import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createSeal } from "../registrar/signing/seal.ts";
import { publicKeyOf, publicTextOf, SIGNING_KEY, SIGNING_KEY_NEXT } from "../test/support/signing.ts";
import { openDocument } from "./envelope.ts";
import { decodeSnapshot, encodeSnapshot } from "./snapshot.ts";
import { createVerifier, parsePublicKey } from "./signature.ts";

const NOW = 1_795_235_400_000;
const clock = { now: () => NOW };
const seal = await createSeal(SIGNING_KEY, clock);
const sealNext = await createSeal(SIGNING_KEY_NEXT, clock);
const verifier = createVerifier([publicKeyOf(SIGNING_KEY)]);

// As the fixtures of schema 1: never edited, since a fleet is upgraded while its documents stay.
const golden = readFileSync(new URL("fixtures/v1/signed-snapshot.txt", import.meta.url), "utf8").trimEnd();
const snapshot = readFileSync(new URL("fixtures/v1/snapshot.json", import.meta.url), "utf8").trim();

describe("a signed document", () => {
  it("is the golden one byte for byte, and reads as if it were not signed", async () => {
    expect(seal("service", "default", "web", snapshot, 86_400_000)).toBe(golden);
    expect(await verifier.open("service", "default", "web", golden)).toEqual({
      type: "valid",
      document: snapshot,
      expiresAt: NOW + 86_400_000,
    });
    expect(encodeSnapshot(decodeSnapshot(golden, "default", "web"))).toBe(snapshot);
  });

  it("is refused as another kind, or for another namespace or service, though its key is known", async () => {
    const found = [
      ["catalog", "default", "web"],
      ["service", "other", "web"],
      ["service", "default", "api"],
      ["service", "default", ""],
    ] as const;
    for (const [kind, namespace, name] of found) {
      expect(await verifier.open(kind, namespace, name, golden)).toEqual({ type: "refused", fault: "forged" });
    }
  });

  it("is taken with any of the keys, and refused with none of them", async () => {
    const texts = [seal("head", "default", "", "{}", 1000), sealNext("head", "default", "", "{}", 1000)] as const;
    const both = createVerifier([publicKeyOf(SIGNING_KEY_NEXT), publicKeyOf(SIGNING_KEY)]);
    for (const text of texts) expect(await both.open("head", "default", "", text)).toMatchObject({ type: "valid" });
    expect(await verifier.open("head", "default", "", texts[1])).toEqual({ type: "refused", fault: "unknown-key" });
    expect(await verifier.open("head", "default", "", "{}")).toEqual({ type: "refused", fault: "unsigned" });
  });

  it("is refused with any of its characters changed, left out or doubled", async () => {
    const change = fc.record({
      at: fc.nat(golden.length - 1),
      how: fc.oneof(fc.constantFrom("", "0", "A", "_", "\n", " ", "é"), fc.integer({ min: 1, max: 127 })),
      keep: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(change, async ({ at, how, keep }) => {
        const here = golden[at] ?? "";
        const other = typeof how === "string" ? how : String.fromCharCode(golden.charCodeAt(at) ^ how);
        const text = golden.slice(0, at) + (keep ? here : "") + other + golden.slice(at + 1);
        if (text === golden) return;
        const result = await verifier.open("service", "default", "web", text).catch(() => ({ type: "refused" }));
        expect(result.type).toBe("refused");
      }),
      { numRuns: 300 },
    );
  });

  it("is refused with a signature that only spells the same bytes differently", async () => {
    const { envelope } = openDocument(golden);
    const last = envelope?.signature.at(-1) ?? "";
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const same = alphabet[alphabet.indexOf(last) + 1] ?? "";
    expect(Buffer.from(`${envelope?.signature.slice(0, -1)}${same}`, "base64url")).toEqual(
      Buffer.from(envelope?.signature ?? "", "base64url"),
    );
    const text = golden.replace(`${last}\n`, `${same}\n`);
    expect(await verifier.open("service", "default", "web", text)).toEqual({ type: "refused", fault: "forged" });
  });

  it("of a format to come is told from a broken one, by every reader", async () => {
    const newer = golden.replace("signed:1 ", "signed:2 ");
    expect(() => decodeSnapshot(newer, "default", "web")).toThrow(/format 2; this build reads 1/);
    await expect(verifier.open("service", "default", "web", newer)).rejects.toThrow(/format 2; this build reads 1/);
  });
});

it("takes as a public key the one line of a PEM file, of an Ed25519 key alone", () => {
  const text = publicTextOf(SIGNING_KEY);
  expect(text).toBe("MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
  expect(parsePublicKey(text)).toHaveLength(44);
  const others = [
    "",
    ` ${text}`,
    text.slice(0, -1),
    `${text}=`,
    text.replace("MCow", "MCox"),
    SIGNING_KEY,
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
  ];
  for (const other of others) expect(parsePublicKey(other)).toBeUndefined();
});
