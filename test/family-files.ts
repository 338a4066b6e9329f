/** The folders of fixtures/families as files in memory that a test can change. */
import { readFileSync } from "node:fs";
import { type FamilyName, familyFolder } from "./fixture-models.js";
import { safetensorsBytes } from "./safetensors-bytes.js";

/** A tensor of a header of safetensors. */
export interface StoredTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

export interface FamilyContents {
  readonly config: Record<string, unknown>;
  readonly tensors: Record<string, StoredTensor>;
  readonly data: Uint8Array;
}

export function familyContents(name: FamilyName): FamilyContents {
  const file = readFileSync(`${familyFolder(name)}/model.safetensors`);
  const headerEnd = 8 + Number(file.readBigUInt64LE(0));
  const { __metadata__, ...tensors } = JSON.parse(file.subarray(8, headerEnd).toString());
  const config = JSON.parse(readFileSync(`${familyFolder(name)}/config.json`, "utf8"));
  return { config, tensors, data: new Uint8Array(file.subarray(headerEnd)) };
}

/** For `memoryFiles`. */
export function modelContents({
  config,
  tensors,
  data,
}: FamilyContents): Record<string, Uint8Array | string> {
  const weights = safetensorsBytes(tensors, data.length);
  weights.set(data, weights.length - data.length);
  return { "config.json": JSON.stringify(config), "model.safetensors": weights };
}
