/** What most tests of a fleet begin with: a Redis, a slow model, and servers of it with and without that Redis as their tier. */
import type { Running } from "../serving/serve-process.js";
import { arbitraryPrompt, writeModel } from "./fleet-models.js";
import { type RedisServer, startRedis } from "./redis-server.js";
import {
  askAll,
  countersOf,
  expectSoon,
  type Installation,
  newInstallation,
  startTierServer,
  type TierServerOptions,
} from "./tier-servers.js";

export interface Fleet extends AsyncDisposable {
  readonly installation: Installation;
  readonly model: string;
  /** May be another one later. */
  redis: RedisServer;
  /** In the order of their options. */
  readonly servers: readonly Running[];
}

export interface FleetOptions {
  /** Of the Redis; default: on its Unix socket only. */
  readonly port?: number;
  /** How each server differs from one with the installation's key and the Redis. Default: one without a tier, and two with it. */
  readonly servers?: (installation: Installation) => Promise<readonly Partial<TierServerOptions>[]>;
}

/** To be disposed of. */
export async function startFleet(options: FleetOptions = {}): Promise<Fleet> {
  const { port = 0, servers = async () => [{ tier: null }, {}, {}] } = options;
  const installation = await newInstallation();
  const { folder, keyFile } = installation;
  const redis = await startRedis({ port });
  const model = await writeModel(folder, "model", "slow");
  const started = (await servers(installation)).map((own) =>
    startTierServer({ model, tier: redis.url, keyFile, ...own }),
  );
  const fleet: Fleet = {
    ...{ installation, model, redis, servers: await Promise.all(started) },
    async [Symbol.asyncDispose]() {
      await installation[Symbol.asyncDispose]();
      await fleet.redis[Symbol.asyncDispose]();
    },
  };
  return fleet;
}

/** Writing rests for twenty times as long as it takes, and it takes long where the machine has much else to do. */
const WRITING_MS = 200_000;

/** A server computes texts, one after the other, and its tier has them: of each the full blocks of its first so many tokens. */
export async function store(
  server: Pick<Running, "url">,
  texts: readonly number[],
  tokens: number,
): Promise<void> {
  const { written } = await countersOf(server);
  const prompts = texts.map((text) => ({
    prompt: [...arbitraryPrompt(tokens, text), 2],
    ...{ seed: 1, tokens: 1 },
  }));
  await askAll(server, prompts, 1);
  await expectSoon(async () => (await countersOf(server)).written, WRITING_MS).toBe(
    written + texts.length * Math.floor(tokens / 16),
  );
}
