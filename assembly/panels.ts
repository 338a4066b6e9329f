// The shape of a packed weight's panels, shared by packing, matrix products and the embedding.

/** Output columns in a panel: two vectors of four lanes. */
export const PANEL_COLUMNS: i32 = 8;
/** Bytes of one k of a panel. */
export const PANEL_BYTES: usize = 32;
