/** What the WebAssembly module offers (assembly/index.ts). Addresses and strides are in bytes. */
export interface KernelExports {
  packInOut(
    weight: number,
    inFeatures: number,
    outFeatures: number,
    src: number,
    dtype: number,
    firstRow: number,
    rowCount: number,
  ): number;
  packOutIn(
    weight: number,
    inFeatures: number,
    src: number,
    dtype: number,
    firstRow: number,
    rowCount: number,
  ): number;
  unpack(out: number, src: number, dtype: number, count: number): number;
  embed(
    out: number,
    outStride: number,
    tokenIds: number,
    rows: number,
    weight: number,
    width: number,
  ): void;
  addRowsAt(
    x: number,
    xStride: number,
    indices: number,
    rows: number,
    table: number,
    tableStride: number,
    width: number,
  ): void;
  gatherRows(
    out: number,
    outStride: number,
    x: number,
    xStride: number,
    indices: number,
    rows: number,
    width: number,
  ): void;
  add(x: number, xStride: number, y: number, yStride: number, rows: number, width: number): void;
  layerNorm(
    out: number,
    outStride: number,
    x: number,
    xStride: number,
    rows: number,
    width: number,
    gain: number,
    bias: number,
    epsilon: number,
  ): void;
  linear(
    y: number,
    yStride: number,
    x: number,
    xStride: number,
    rows: number,
    weight: number,
    bias: number,
    inFeatures: number,
    outFeatures: number,
    panelFrom: number,
    panelTo: number,
  ): void;
  activate(x: number, stride: number, rows: number, width: number, kind: number): void;
  writeKv(
    layerBase: number,
    blockBytes: number,
    headBytes: number,
    numKvHeads: number,
    headDim: number,
    k: number,
    kStride: number,
    v: number,
    vStride: number,
    slots: number,
    rows: number,
  ): void;
  attention(
    out: number,
    outStride: number,
    q: number,
    qStride: number,
    rows: number,
    numHeads: number,
    numKvHeads: number,
    headDim: number,
    layerBase: number,
    blockBytes: number,
    headBytes: number,
    blockTable: number,
    positions: number,
    scale: number,
    scores: number,
    headFrom: number,
    headTo: number,
  ): void;
  hasNaN(x: number, stride: number, rows: number, width: number): number;
}
