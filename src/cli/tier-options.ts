/** Options of a KV tier that servers share: what they are called, and the tier that they name. */
import { type Command, Option } from "commander";
import { parseDuration } from "../duration.js";
import { invalidArgument } from "../errors.js";
import { parseMemorySize } from "../memory-size.js";
import type { KvTier } from "../protocol/kv-tier.js";

export interface TierCommandOptions {
  readonly tier?: string | undefined;
  readonly tierFile?: string | undefined;
  readonly tierKeyFile?: string | undefined;
  readonly tierPasswordFile?: string | undefined;
  readonly tierCaFile?: string | undefined;
  readonly tierCertFile?: string | undefined;
  readonly tierCertKeyFile?: string | undefined;
  readonly tierSize?: string | undefined;
  readonly tierWrite?: Write | undefined;
  /** Milliseconds. */
  readonly tierDeadline?: number | undefined;
  /** Seconds. */
  readonly tierTtl?: number | undefined;
}

const WRITES = ["auto", "first", "second"] as const;
type Write = (typeof WRITES)[number];

export function addTierOptions(command: Command): Command {
  return command
    .optionsGroup("KV tier (docs/scaling.md):")
    .option(
      "--tier <url>",
      "keys and values that servers share, in a Redis or Valkey: redis://HOST, rediss://HOST, redis+unix:///SOCKET",
    )
    .option("--tier-file <folder>", "the same in a folder")
    .option(
      "--tier-key-file <file>",
      "with either: 32 secret bytes or more, the same on all servers; only its owner may read it",
    )
    .option(
      "--tier-password-file <file>",
      "of --tier: a file that holds the password; only its owner may read it",
    )
    .option(
      "--tier-ca-file <file>",
      "of rediss://: certificates of the authorities that sign the store's (PEM)",
    )
    .option("--tier-cert-file <file>", "of rediss://: this server's own certificate (PEM)")
    .option("--tier-cert-key-file <file>", "of rediss://: the key of that certificate (PEM)")
    .option(
      "--tier-size <size>",
      "of --tier-file: what the folder may take, all servers together (default: 10GiB)",
      memorySize,
    )
    .addOption(
      new Option(
        "--tier-write <when>",
        "which prompts are written: when they are computed first, when a second request begins alike, or by their length (default: auto)",
      ).choices(WRITES),
    )
    .option(
      "--tier-deadline <time>",
      "what a load may take beyond twice what it is expected to (default: 250ms)",
      (text) => parseDuration(text, "--tier-deadline") * 1000,
    )
    .option("--tier-ttl <time>", "how long a record is kept (default: 1d)", (text) =>
      parseDuration(text, "--tier-ttl"),
    );
}

/**
 * The tier that is asked for; undefined: none.
 * @throws LastrowError `invalid_argument`
 */
export async function tierOf(options: TierCommandOptions): Promise<KvTier | undefined> {
  const { tier: url, tierFile: folder, tierKeyFile } = options;
  if (url === undefined && folder === undefined) {
    const stray = given(options, Object.keys(FLAGS) as (keyof typeof FLAGS)[]);
    if (stray === null) return undefined;
    throw invalidArgument(`${stray} belongs to a tier: give --tier URL or --tier-file FOLDER, too.`);
  }
  if (url !== undefined && folder !== undefined)
    throw invalidArgument("There is one tier: --tier or --tier-file, not both.");
  if (tierKeyFile === undefined) {
    throw invalidArgument(
      "A tier needs --tier-key-file FILE, with the same 32 secret bytes or more on all servers; openssl rand -out tier.key 32 makes one.",
    );
  }
  const ofFolder = given(options, ["tierSize"]);
  const ofRedis = given(options, ["tierPasswordFile", "tierCaFile", "tierCertFile", "tierCertKeyFile"]);
  if (folder === undefined && ofFolder !== null) throw invalidArgument(`${ofFolder} is for --tier-file.`);
  if (url === undefined && ofRedis !== null) throw invalidArgument(`${ofRedis} is for --tier.`);
  if (url !== undefined && hasPassword(url)) {
    throw invalidArgument(
      "A password on the command line can be read by everybody on this machine: leave it out of the URL, and put it into a file for --tier-password-file.",
    );
  }
  // Loaded lazily: other commands do not need it.
  const { directoryTier, readTierKey, redisTier } = await import("../tier/index.js");
  const common = {
    key: await readTierKey(tierKeyFile),
    write: options.tierWrite,
    deadlineMs: options.tierDeadline === undefined ? undefined : Math.round(options.tierDeadline),
    ttlSeconds: options.tierTtl === undefined ? undefined : Math.round(options.tierTtl),
  };
  if (folder !== undefined) return directoryTier({ folder, limit: options.tierSize, ...common });
  return redisTier({
    url: url!,
    passwordFile: options.tierPasswordFile,
    caFile: options.tierCaFile,
    certFile: options.tierCertFile,
    keyFile: options.tierCertKeyFile,
    ...common,
  });
}

/** Where the tier is that is asked for, for people; null: none. */
export function tierPlace({ tier, tierFile }: TierCommandOptions): string | null {
  if (tier === undefined) return tierFile ?? null;
  const url = new URL(tier);
  url.username = "";
  return url.href;
}

/** As they are typed. */
const FLAGS = {
  tierKeyFile: "--tier-key-file",
  tierPasswordFile: "--tier-password-file",
  tierCaFile: "--tier-ca-file",
  tierCertFile: "--tier-cert-file",
  tierCertKeyFile: "--tier-cert-key-file",
  tierSize: "--tier-size",
  tierWrite: "--tier-write",
  tierDeadline: "--tier-deadline",
  tierTtl: "--tier-ttl",
} as const;

/** The first of some that is given, as it is typed. */
function given(options: TierCommandOptions, names: readonly (keyof typeof FLAGS)[]): string | null {
  const name = names.find((one) => options[one] !== undefined);
  return name === undefined ? null : FLAGS[name];
}

function hasPassword(url: string): boolean {
  return URL.canParse(url) && new URL(url).password !== "";
}

function memorySize(text: string): string {
  parseMemorySize(text, "--tier-size");
  return text;
}
