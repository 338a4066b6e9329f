/** Where weights lie: in one file, or in the shards that a `model.safetensors.index.json` maps tensors to. */
import { modelFileInvalid } from "../errors.js";
import { quoteValue } from "../quote-value.js";
import type { JsonObject } from "./strict-json.js";

export const WEIGHTS = "model.safetensors";
export const WEIGHTS_INDEX = "model.safetensors.index.json";

const MAX_FILE_NAME_LENGTH = 255;

/**
 * Tensor name → shard name, as `weight_map` has it; at least one.
 * @param fileName what messages call the index
 * @throws LastrowError `model_file_invalid` when there is no such map, or it names something other than plain files
 */
export function readWeightMap(index: JsonObject, fileName: string): Map<string, string> {
  const weightMap = index.weight_map;
  if (typeof weightMap !== "object" || weightMap === null || Array.isArray(weightMap)) {
    throw modelFileInvalid(
      `${fileName}: weight_map is ${quoteValue(weightMap)}, but must map tensor names to shard names.`,
    );
  }
  const entries = Object.entries(weightMap);
  if (entries.length === 0) throw modelFileInvalid(`${fileName}: weight_map is empty.`);
  return new Map(
    entries.map(([tensor, shard]) => {
      if (typeof shard !== "string" || !isShardName(shard)) {
        throw modelFileInvalid(
          `${fileName}: tensor ${quoteValue(tensor)} is mapped to ${quoteValue(shard)}, but a shard must be a plain ` +
            "file name that ends in .safetensors.",
        );
      }
      return [tensor, shard];
    }),
  );
}

/** A file name that means a file in the same folder on every system: no separators, drives, streams or controls. */
function isShardName(name: string): boolean {
  return name.length <= MAX_FILE_NAME_LENGTH && /^[\w-][\w.+ -]*\.safetensors$/.test(name);
}
