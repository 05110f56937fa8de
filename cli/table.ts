/**
 * Columns padded to their widest cell, two spaces apart, a heading first. What cells hold others have written: control
 * characters, which a terminal obeys and which end a line, are shown as U+FFFD.
 */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [heading, ...rows].map((line) => line.map((cell) => cell.replaceAll(/\p{Cc}/gu, "\uFFFD")));
  const widths = heading.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
