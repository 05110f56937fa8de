import { STYLE } from "./style.ts";

/** The parts of an OpenAPI document that the page shows. */
export interface OpenApi {
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly paths: Readonly<
    Record<string, { readonly parameters?: readonly Reference[]; readonly get: OpenApiOperation }>
  >;
  readonly components: {
    readonly parameters: Readonly<Record<string, Described>>;
    readonly headers: Readonly<Record<string, Described>>;
    readonly responses: Readonly<Record<string, Described>>;
  };
}

interface Reference {
  readonly $ref: string;
}

interface OpenApiOperation {
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly parameters?: readonly Reference[];
  readonly security?: readonly unknown[];
  readonly responses: Readonly<Record<string, Reference | Described>>;
}

/** Of a header or a parameter: one value, values of a parameter that repeats, or parameters by name. */
type Example = string | number | boolean | readonly string[] | Readonly<Record<string, string>>;

/** A parameter, a header or a response. */
interface Described {
  readonly description: string;
  readonly name?: string;
  readonly in?: string;
  readonly required?: boolean;
  readonly example?: Example;
  readonly content?: Readonly<Record<string, { readonly schema: unknown; readonly example?: unknown }>>;
}

/** The document as a page to be read: no script, nothing from another host. */
export function renderPage({ info, paths, components }: OpenApi): string {
  function resolve(item: Reference | Described): Described {
    if (!("$ref" in item)) return item;
    // The document's own test finds a reference without its component.
    const [, , kind, key] = item.$ref.split("/") as [string, string, keyof typeof components, string];
    return components[kind][key] as Described;
  }

  const nav: string[] = [];
  // Of the paths with a namespace only the prefix differs.
  const shown = Object.entries(paths).filter(([path]) => !path.includes("{namespace}"));
  const sections = shown.map(([path, { parameters = [], get }]) => {
    const { operationId, summary, description = "", security, responses } = get;
    nav.push(`<a href="#${operationId}">${prose(summary)}</a>`);
    const taken = [...parameters, ...(get.parameters ?? [])].map(resolve);
    const answers = Object.entries(responses).map(([status, answer]) => [status, resolve(answer)] as const);
    const examples = Object.values(answers[0]?.[1].content ?? {}).map(({ example = "" }) =>
      typeof example === "string" ? example : JSON.stringify(example, null, 2),
    );
    return [
      `<h2 id="${operationId}">GET ${prose(path)}</h2><p>${prose(`${summary} ${description}`)}`,
      `<pre class="run">${prose(curl(path, taken, security !== undefined))}</pre>`,
      ...(taken.length > 0 ? [table(taken.map((item) => [item.name ?? "", item.description, inUrl(item)]))] : []),
      `<h3>Answers</h3>${table(answers.map(([status, answer]) => [status, answer.description]))}`,
      ...examples.filter(Boolean).map((example) => `<pre>${prose(example)}</pre>`),
    ].join("");
  });
  const headers = Object.entries(components.headers).map(([name, item]) => [name, item.description, inUrl(item)]);

  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${info.title}</title><style>${STYLE}</style>
<h1>${info.title} <small>${info.version}</small></h1><p>${prose(info.description)}<p>${prose("Of another namespace: `/v1/namespaces/{namespace}/…`.")} <a href="openapi.json">openapi.json</a><nav>${nav.join("")}<a href="#headers">Headers.</a></nav>
${sections.join("")}<h2 id="headers">Headers</h2>${table(headers)}`;
}

/** The command line that asks: with what must be given, and nothing else. */
function curl(path: string, parameters: readonly Described[], open: boolean): string {
  let url = path;
  for (const item of parameters.filter(({ required }) => required)) {
    url = item.in === "path" ? url.replace(`{${item.name}}`, inUrl(item)) : `${url}?${inUrl(item)}`;
  }
  return `curl ${open ? "" : '-H "Authorization: Bearer $TOKEN" '}"$RESOLVER${url}"`;
}

/** The example of a parameter, as it is written in a URL or a header. */
function inUrl({ name = "", in: place, example = "" }: Described): string {
  if (typeof example !== "object") return place === "query" ? `${name}=${example}` : `${example}`;
  const pairs = Array.isArray(example) ? example.map((value) => [name, value]) : Object.entries(example);
  return pairs.map((pair) => pair.join("=")).join("&");
}

/** Rows of a name, a text, and perhaps an example. */
function table(rows: readonly (readonly string[])[]): string {
  const cell = (text: string, index: number) => `<td>${prose(index === 1 ? text : `\`${text}\``)}`;
  return `<table>${rows.map((row) => `<tr>${row.map(cell).join("")}`).join("")}</table>`;
}

/** Words between backticks are code. */
function prose(text: string): string {
  const escaped = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return escaped.replaceAll(/`([^`]+)`/g, "<code>$1</code>");
}
