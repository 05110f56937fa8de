/** References into the document's own components. */
type Kind = "parameters" | "headers" | "responses" | "schemas";

export function reference(kind: Kind, key: string): { readonly $ref: string } {
  return { $ref: `#/components/${kind}/${key}` };
}

export function references(kind: Kind, keys: readonly string[]): readonly object[] {
  return keys.map((key) => reference(kind, key));
}

export function headerReferences(names: readonly string[]): object {
  return Object.fromEntries(names.map((name) => [name, reference("headers", name)]));
}
