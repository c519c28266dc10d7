/** Versions in an engine's numeric identity. Raise them whenever a change alters the bits of any gradient. */

/** The step's formulas: losses, masks, what both engines share. */
export const STEP_VERSION = 2;

/** Passes and lowering to ONNX, on top of the step's formulas. */
export const LOWERING_VERSION = 13;
