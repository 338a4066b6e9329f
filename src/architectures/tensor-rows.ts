/** Rows of a family's list of tensors for the two things that layers are made of: norms and products. */
import type { NormSpec, TensorRow, WeightName } from "../model/decoder-spec.js";

type NormPlace = Extract<WeightName, `${string}.gain`> extends `${infer Place}.gain` ? Place : never;
type LinearPlace = Extract<WeightName, `${string}.weight`> extends `${infer Place}.weight` ? Place : never;

/**
 * A norm's gain and, of a layer norm, its bias.
 * @param less1 gains are stored less 1
 */
export function normTensors(
  name: string,
  width: number,
  { kind }: NormSpec,
  to: NormPlace,
  { less1 = false }: { readonly less1?: boolean | undefined } = {},
): TensorRow[] {
  const gain: TensorRow = { name: `${name}.weight`, shape: [width], to: `${to}.gain` };
  const rows = [less1 ? { ...gain, plus: 1 as const } : gain];
  if (kind === "layer") rows.push({ name: `${name}.bias`, shape: [width], to: `${to}.bias` });
  return rows;
}

/** A product's matrix, (outFeatures, inFeatures) as `nn.Linear` stores it unless `order` says otherwise, and its bias. */
export function linearTensors(
  name: string,
  outFeatures: number,
  inFeatures: number,
  hasBias: boolean,
  to: LinearPlace,
  {
    order = "out-in",
    ...part
  }: Pick<TensorRow, "order" | "outputs" | "at" | "traceName" | "interleaved"> = {},
): TensorRow[] {
  const shape = order === "out-in" ? [outFeatures, inFeatures] : [inFeatures, outFeatures];
  const rows: TensorRow[] = [{ name: `${name}.weight`, shape, to: `${to}.weight`, order, ...part }];
  if (hasBias) rows.push({ name: `${name}.bias`, shape: [outFeatures], to: `${to}.bias`, ...part });
  return rows;
}
