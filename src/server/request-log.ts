/**
 * The log: one line for each request, but for probes that find all well. JSON by pino for machines; where a person looks on, the
 * same in a form to read. Prompts are in it only where the server was told so.
 */
import { type DestinationStream, type Logger, pino } from "pino";
import { printable, printableJson } from "../printable.js";
import type { RequestRecord } from "./exchange.js";

export interface Log {
  request(record: RequestRecord, failure: unknown): void;
  info(message: string): void;
  warn(message: string, error?: unknown): void;
}

/**
 * A balancer asks some times a second whether a server is ready: that it is would be most of the log, and no news. What a probe finds
 * amiss is.
 */
function isProbeOfAllWell({ route, status }: RequestRecord): boolean {
  return status === 200 && (route === "/health" || route === "/ready");
}

/** JSON lines; `write` is given each as a whole. */
export function jsonLog(write: (line: string) => void): Log {
  const destination: DestinationStream = {
    write: (line) => write(`${printableJson(line.trimEnd())}\n`),
  };
  const logger: Logger = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination);
  return {
    request(record, failure) {
      if (failure === null && isProbeOfAllWell(record)) return;
      const line = fields(record);
      if (failure === null) logger.info(line, "request");
      else logger.error({ ...line, err: failure }, "request");
    },
    info: (message) => logger.info(message),
    warn: (message, error) => logger.warn({ err: error }, message),
  };
}

/** How a person sees it. */
export interface LogColours {
  dim(text: string): string;
  red(text: string): string;
  yellow(text: string): string;
  green(text: string): string;
}

/** `12:04:31  POST /v1/completions  200  5 + 64 tokens, 0 cached  1.2 ms queued  8 ms first  110 ms` */
export function readableLog(write: (line: string) => void, colours: LogColours): Log {
  // Parts are made printable one by one: the colours around them are to be obeyed.
  const time = () => colours.dim(new Date().toTimeString().slice(0, 8));
  return {
    request(record, failure) {
      if (failure === null && isProbeOfAllWell(record)) return;
      const { status } = record;
      const colour = status >= 500 ? colours.red : status >= 400 ? colours.yellow : colours.green;
      const ms = (value: number) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
      const parts = [
        `${time()}  ${printable(record.method)} ${printablePath(record.path)}`,
        colour(record.error === null ? String(status) : `${status} ${record.error}`),
      ];
      if (record.key !== null) parts.push(printable(record.key));
      if (record.completionTokens !== null) {
        parts.push(
          `${record.promptTokens} + ${record.completionTokens} tokens, ${record.cachedTokens} cached${record.tierTokens === null ? "" : `, ${record.tierTokens} of them from the tier`}`,
        );
      }
      if (record.firstTokenMs !== null) parts.push(`first after ${ms(record.firstTokenMs)}`);
      parts.push(colours.dim(`${ms(record.totalMs)}${record.stream ? ", streamed" : ""}`));
      write(`${parts.join("  ")}\n`);
      if (record.prompts !== null)
        write(`${colours.dim(`          ${printableJson(JSON.stringify(record.prompts))}`)}\n`);
      if (failure !== null) write(`${describe(failure)}\n`);
    },
    info: (message) => write(`${time()}  ${printable(message)}\n`),
    warn: (message, error) =>
      write(
        `${time()}  ${colours.yellow(printable(message))}${error === undefined ? "" : ` ${describe(error)}`}\n`,
      ),
  };
}

function fields(record: RequestRecord) {
  const round = (ms: number | null) => (ms === null ? null : Math.round(ms * 1000) / 1000);
  const { prompts, queueMs, firstTokenMs, totalMs, ...rest } = record;
  return {
    ...rest,
    queueMs: round(queueMs),
    firstTokenMs: round(firstTokenMs),
    totalMs: round(totalMs),
    ...(prompts !== null && { prompts }),
  };
}

function describe(error: unknown): string {
  return printable(error instanceof Error ? (error.stack ?? error.message) : String(error));
}

/** A path as it was sent is percent-encoded, but for what a client has put into it by hand. */
function printablePath(path: string): string {
  return path.replace(/[^\x21-\x7e]/g, "?").slice(0, 200);
}
