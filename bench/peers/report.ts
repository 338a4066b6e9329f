/** The results as tables of text. */
import type { EngineResult, Ratios, Scenario } from "./statistics.js";

const RESULT_COLUMNS = [
  "engine",
  "type",
  "first token",
  "prefill",
  "decode",
  "whole request",
  "peak memory",
  "other load",
];
const RATIO_COLUMNS = [
  "lastrow against",
  "type",
  "first token",
  "prefill",
  "decode",
  "whole request",
  "peak memory",
];
/** How a table calls a type. */
function typeName(dtype: EngineResult["dtype"]): string {
  return dtype === "int8" ? "8-bit" : dtype;
}

/** A table of medians and one of ratios for each scenario. */
export function formatReport(results: readonly EngineResult[], ratios: readonly Ratios[]): string {
  const scenarios = [...new Set(results.map(({ scenario }) => scenario))];
  return scenarios
    .map((scenario) => {
      const { promptTokens, newTokens } = scenario;
      const title = `Prompt of ${promptTokens} tokens, ${newTokens} new: medians`;
      const ratioTitle = "Times as good as the peer (above 1: lastrow is ahead)";
      const medians = formatTable(RESULT_COLUMNS, ofScenario(results, scenario).map(resultRow));
      const compared = formatTable(RATIO_COLUMNS, ofScenario(ratios, scenario).map(ratioRow));
      return `${title}\n\n${medians}\n\n${ratioTitle}\n\n${compared}\n`;
    })
    .join("\n");
}

function ofScenario<T extends { readonly scenario: Scenario }>(items: readonly T[], scenario: Scenario): T[] {
  return items.filter((item) => item.scenario === scenario);
}

function resultRow({ engine, dtype, summary, peakRssBytes }: EngineResult): string[] {
  return [
    engine,
    typeName(dtype),
    `${summary.timeToFirstTokenMs.median.toFixed(1)} ms`,
    `${summary.prefillTokensPerSecond.median.toFixed(0)} tok/s`,
    `${summary.decodeTokensPerSecond.median.toFixed(1)} tok/s`,
    `${summary.wholeRequestMs.median.toFixed(0)} ms`,
    `${(peakRssBytes / 2 ** 20).toFixed(0)} MiB`,
    `${(100 * summary.otherLoad.median).toFixed(0)} %`,
  ];
}

function ratioRow(ratios: Ratios): string[] {
  const { peer, dtype, timeToFirstToken, prefill, decode, wholeRequest, peakMemory } = ratios;
  const numbers = [timeToFirstToken, prefill, decode, wholeRequest, peakMemory];
  return [peer, typeName(dtype), ...numbers.map((ratio) => `${ratio.toFixed(2)} ×`)];
}

/** Columns of text; the first two to the left, the others to the right. */
function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, c) => Math.max(title.length, ...rows.map((row) => row[c]!.length)));
  const line = (cells: readonly string[]) =>
    cells.map((cell, c) => (c < 2 ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!))).join("  ");
  return [line(header), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}
