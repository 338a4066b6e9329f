// Products over int8 weights with relaxed dot products: all panels of a call of ../linear-int8.ts, so that crossing modules costs
// nothing.

export { throughPanels as linearInt8Relaxed } from "../int8-products";
