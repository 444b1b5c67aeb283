/** @file Datasets, their preparation, and loaders. */
export type { Row, RowSource } from "./source.js";
export { Dataset, type SplitOptions } from "./dataset.js";
export { IterableDataset } from "./iterable.js";
export { hasSplits, loadDataset, type LoadDatasetOptions } from "./load_dataset.js";
export type { DataFiles } from "./data_files.js";
export { fileEndings } from "./file_kinds.js";
export type { ColumnNames } from "./columns.js";
export {
  concatenateDatasets,
  interleaveDatasets,
  type InterleaveOptions,
  type StoppingStrategy,
} from "./combine.js";
export {
  datasetFormat,
  extractPrompt,
  isConversational,
  isConversationalFromValue,
  maybeConvertToChatml,
  maybeExtractPrompt,
  maybeUnpairPreferenceDataset,
  unpairPreferenceDataset,
  type DatasetFormat,
  type DatasetType,
  type Preference,
} from "./formats.js";
export { ignoredLabel, type TokenIds, type TokenisedRow } from "./tokens.js";
export type { RowTokenizer } from "./row_tokenizer.js";
export type { SftFormat } from "./sft_format.js";
export {
  describeNotes,
  type NoteKind,
  type PreparationNote,
  type PreparationNotes,
  type PreparationOptions,
  type PreparationReport,
  type Prepared,
} from "./prepared.js";
export type { PreparedRow } from "./tokenised_rows.js";
export { prepareSftDataset, prepareSftStream, type SftRowOptions } from "./sft_rows.js";
export { bucketSize, type BucketOptions } from "./buckets.js";
export type { PaddedTokens, PaddingOptions } from "./padding.js";
export {
  DataCollatorForLanguageModeling,
  type LanguageModelingBatch,
  type LanguageModelingOptions,
} from "./collator.js";
export {
  packDataset,
  packingStrategies,
  planPacking,
  type Packed,
  type PackingStrategy,
  type Piece,
} from "./packing.js";
export {
  preferencePreparer,
  preferenceTokens,
  preparePreferences,
  type PreferenceRow,
  type PreferenceRowOptions,
} from "./preference_rows.js";
export {
  PreferenceCollator,
  type PredictedTokens,
  type PreferenceBatch,
  type PreferenceCollatorOptions,
} from "./preference_collator.js";
export { labelPositions, type LabelPositions } from "./label_positions.js";
export { BatchSampler, type BatchSamplerOptions } from "./sampler.js";
export {
  DataLoader,
  rowLengths,
  StreamingDataLoader,
  type Collate,
  type DataLoaderOptions,
  type Loader,
  type LoaderState,
  type StreamingDataLoaderOptions,
} from "./loader.js";
export { SingleObjectiveLoader, type MicroBatch, type WindowLoader, type WindowOptions } from "./windows.js";
