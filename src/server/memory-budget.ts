/**
 * What several models may take, decided before any is loaded: each is downloaded and planned; a model that does not fit is
 * refused then, not when it is first asked for.
 */
import { parseDuration } from "../duration.js";
import { invalidArgument, LastrowError } from "../errors.js";
import type { LoadOptions } from "../library/load-options.js";
import { type FetchedPlan, fetchAndPlan, type LoadPlan, planLoad } from "../library/plan-load.js";
import { formatMemorySize, parseMemorySize } from "../memory-size.js";
import { machineMemory } from "../platform/node-memory.js";
import type { ModelSource } from "../platform/platform.js";
import type { NamedModel, ServerOptions } from "./server-options.js";

/** Of what is free at the start: the threads that tokenise, answers and the system need some, too. */
const FREE_SHARE = 3 / 4;

export interface PlannedModels {
  readonly budgetBytes: number;
  /** Milliseconds; null: what is unused stays. */
  readonly idleMs: number | null;
  readonly models: readonly (FetchedPlan & { readonly id: string })[];
}

/**
 * @param options the budget and the idle time
 * @param loading how each is loaded
 * @throws LastrowError as `planLoad`, for whichever model it is; `memory_limit_exceeded` for one that does not fit
 */
export async function planModels(
  named: readonly NamedModel[],
  { memory, idle }: Pick<ServerOptions, "memory" | "idle">,
  loading: LoadOptions,
): Promise<PlannedModels> {
  const idleMs = idle === undefined ? null : parseDuration(idle, "idle") * 1000;
  const budgetBytes =
    memory === undefined
      ? Math.floor(machineMemory().freeBytes * FREE_SHARE)
      : parseMemorySize(memory, "memory");
  for (const { id, source } of named) expectKept(id, source);
  const fetched: FetchedPlan[] = [];
  for (const { source } of named) fetched.push(await fetchAndPlan(source, loading));
  const shared = await sharedMemory(fetched, loading, budgetBytes);
  const models = shared.map((model, i) => ({ ...model, id: named[i].id }));
  for (const { id, plan } of models) {
    if (plan.memoryBytes <= budgetBytes) continue;
    throw new LastrowError(
      "memory_limit_exceeded",
      `${id} needs ${formatMemorySize(plan.memoryBytes)}, ${formatMemorySize(plan.kvBytes)} of it for keys and values; all models together may take ${formatMemorySize(budgetBytes)}${memory === undefined ? ", three quarters of what is free" : ""}. Allow more with memory, or give it less with contextLength, with kvMemory or with dtype int8.`,
    );
  }
  return { budgetBytes, idleMs, models };
}

/** Loads happen at any time later: what they read must be here then. */
function expectKept(id: string, source: ModelSource | undefined): void {
  const isAddress = (of: unknown) => /^https?:/i.test(String(of));
  const isRemote =
    typeof source === "string" || source instanceof URL
      ? isAddress(source)
      : typeof source === "object" && Object.values(source).some((of) => of !== null && isAddress(of));
  if (!isRemote) return;
  throw invalidArgument(
    `${id} has a web address, which would be downloaded each time that it is loaded; of several models each is a folder, a file or a Hub name.`,
  );
}

/**
 * The plans, with less memory for keys and values where all models fit beside each other by that. No context becomes
 * shorter for it: then each keeps its own plan, and they take turns.
 */
async function sharedMemory(
  fetched: readonly FetchedPlan[],
  loading: LoadOptions,
  budgetBytes: number,
): Promise<readonly FetchedPlan[]> {
  const sum = (of: (plan: LoadPlan) => number) => fetched.reduce((total, { plan }) => total + of(plan), 0);
  if (loading.kvMemory !== undefined || sum(({ memoryBytes }) => memoryBytes) <= budgetBytes) return fetched;
  const kvBytes = sum((plan) => plan.kvBytes);
  const left = budgetBytes - (sum(({ memoryBytes }) => memoryBytes) - kvBytes);
  if (left <= 0) return fetched;
  const smaller: FetchedPlan[] = [];
  for (const model of fetched) {
    const { files, plan } = model;
    const kvMemory = Math.floor(left * (plan.kvBytes / kvBytes));
    const again = kvMemory < 1 ? null : await planWith(files, { ...loading, kvMemory });
    if (again?.contextLength !== plan.contextLength) return fetched;
    smaller.push({ ...model, plan: again });
  }
  return smaller;
}

/** Null where so little is not enough. */
async function planWith(files: FetchedPlan["files"], options: LoadOptions): Promise<LoadPlan | null> {
  try {
    return await planLoad(files, { ...options, onProgress: undefined });
  } catch (error) {
    if (error instanceof LastrowError) return null;
    throw error;
  }
}
