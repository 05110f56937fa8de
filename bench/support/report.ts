import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { isMet, type Figures, type Goal, type Measured } from "./result.ts";

/** A measurement as it is kept: one JSON file each, so that one can be taken again without the others. */
export interface Kept extends Measured {
  readonly name: string;
  readonly title: string;
  readonly mode: "full" | "short";
  /** RFC 3339, UTC. */
  readonly takenAt: string;
  readonly tookSeconds: number;
  readonly command: string;
  readonly machine: Figures;
}

/** What figures depend on, and nothing by which a machine could be known. */
export function machine(): Figures {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    "memory GB": Math.round(totalmem() / 1e9),
    kernel: `Linux ${release()}`,
    architecture: process.arch,
    node: process.versions.node,
  };
}

export function keep(folder: string, kept: Kept): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${kept.name}.json`), `${JSON.stringify(kept, undefined, 2)}\n`);
}

/** Writes the summary of every measurement kept in the folder, in the order of `names`; gives its text. */
export function summarise(folder: string, title: string, names: readonly string[]): string {
  const files = new Set(readdirSync(folder));
  const kept = names
    .filter((name) => files.has(`${name}.json`))
    .map((name) => JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8")) as Kept);
  const text = [`# ${title}`, ...kept.map(section)].join("\n\n").concat("\n");
  writeFileSync(join(folder, "README.md"), text);
  return text;
}

function section(kept: Kept): string {
  const { title, mode, takenAt, tookSeconds, command, workload, versions, figures, goals, notes } = kept;
  const short =
    mode === "short" ? "\n\nA short run: it shows that the measurement works. Its figures mean nothing." : "";
  return [
    `## ${title}${short}`,
    goals.map(goalLine).join("\n"),
    table(figures),
    notes.map((note) => `- ${note}`).join("\n"),
    [
      `- Workload: ${list(workload)}`,
      `- Machine: ${list(kept.machine)}`,
      `- Versions: ${list(versions)}`,
      `- \`${command}\`, ${takenAt}, took ${Math.round(tookSeconds)} s`,
    ].join("\n"),
  ].join("\n\n");
}

export function goalLine(goal: Goal): string {
  const { what, actual, bound, limit, unit } = goal;
  const space = unit === "" || unit === "×" ? unit : ` ${unit}`;
  const verdict = isMet(goal) ? "met" : `**missed**, ${limit === 0 ? "" : `${(actual / limit).toFixed(2)} of it`}`;
  return `- ${what}: ${actual}${space}, goal ${bound} ${limit}${space}: ${verdict}`.replace(/, $/, "");
}

/** A row for each subject; columns in the order in which they first come up. */
function table(figures: Readonly<Record<string, Figures>>): string {
  const columns = [...new Set(Object.values(figures).flatMap((row) => Object.keys(row)))];
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(" | ")} |`;
  return [
    line(["", ...columns]),
    line(["---", ...columns.map(() => "---:")]),
    ...Object.entries(figures).map(([subject, row]) => line([subject, ...columns.map((column) => row[column] ?? "")])),
  ].join("\n");
}

function list(values: Readonly<Record<string, number | string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}
