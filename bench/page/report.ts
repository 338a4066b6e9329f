/** The results as tables of Markdown, which can go into the documentation as they are. */
import type { RequestSize } from "./page-report.js";
import { type Configuration, compareWithPeers, type Ratio, type Row } from "./statistics.js";

/** Medians and ratios, for each browser and number of threads. */
export function formatReport(rows: readonly Row[], sizes: readonly RequestSize[]): string {
  const ratios = compareWithPeers(rows);
  const parts: string[] = [];
  for (const browser of new Set(rows.map((row) => row.browser))) {
    for (const threads of new Set(rows.map(({ configuration }) => configuration.threads))) {
      const isHere = (of: { browser: string }, configuration: Configuration) =>
        of.browser === browser && configuration.threads === threads;
      const medians = rows.filter((row) => isHere(row, row.configuration));
      const compared = ratios.filter((ratio) => isHere(ratio, ratio.ours));
      if (medians.length === 0) continue;
      const where = threads === 1 ? "one thread, page not isolated" : `${threads} threads, isolated page`;
      parts.push(`${browser}, ${where}: medians\n\n${medianTable(medians, sizes)}`);
      if (compared.length > 0) {
        parts.push(`Times as good as the peer (above 1: lastrow is ahead)\n\n${ratioTable(compared, sizes)}`);
      }
    }
  }
  return `${parts.join("\n\n")}\n`;
}

function medianTable(rows: readonly Row[], sizes: readonly RequestSize[]): string {
  const header = ["", "type", "load", ...sizes.flatMap(medianColumns)];
  header.push("memory", "code, gzip", "model fetched", "loads", "other load");
  return markdown(
    header,
    rows.map((row) => [
      engineName(row.configuration),
      row.configuration.type,
      `${(row.loadMs / 1000).toFixed(2)} s`,
      ...row.requests.flatMap(({ prefill, decode, wholeMs }) => [
        `${rounded(prefill)} tok/s`,
        `${rounded(decode)} tok/s`,
        `${(wholeMs / 1000).toFixed(2)} s`,
      ]),
      `${(row.pagePeakBytes / 2 ** 20).toFixed(0)} MiB`,
      `${rounded(row.fetched.codeGzipBytes / 1000)} kB`,
      `${(row.fetched.modelBytes / 1e6).toFixed(0)} MB`,
      String(row.loads),
      `${(100 * row.otherLoad).toFixed(0)} %`,
    ]),
  );
}

function ratioTable(ratios: readonly Ratio[], sizes: readonly RequestSize[]): string {
  const header = ["lastrow", "against", "load", ...sizes.flatMap(medianColumns), "memory", "code"];
  const times = (ratio: number) => ratio.toFixed(ratio < 10 ? 2 : 1);
  return markdown(
    header,
    ratios.map(({ ours, peer, load, memory, code, requests }) => [
      ours.type,
      `${engineName(peer)} ${peer.type}`,
      times(load),
      ...requests.flatMap(({ prefill, decode, wholeMs }) => [prefill, decode, wholeMs].map(times)),
      times(memory),
      times(code),
    ]),
  );
}

function medianColumns({ promptTokens, newTokens }: RequestSize): string[] {
  return [`prefill ${promptTokens}`, `decode ${newTokens}`, `${promptTokens} + ${newTokens}`];
}

function engineName({ engine, variant }: Configuration): string {
  return variant === "" ? engine : `${engine} (${variant})`;
}

function rounded(value: number): string {
  return value.toFixed(value < 100 ? 1 : 0);
}

function markdown(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(header), line(header.map(() => "---")), ...rows.map(line)].join("\n");
}
