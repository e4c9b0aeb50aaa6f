"""TensorFlow operators that reach beyond the model: files, connections, Python."""

from __future__ import annotations

from collections.abc import Sequence

SAVER_OPS = frozenset(
    {
        "Save", "SaveSlices", "SaveV2", "Restore", "RestoreSlice", "RestoreV2", "MergeV2Checkpoints",
        "ShardedFilename", "ShardedFilespec",
    }
)  # fmt: skip
"""What every SavedModel holds to write and read its variables."""

OUTSIDE_OPS = frozenset(
    {
        # files
        "ReadFile", "WriteFile", "MatchingFiles", "InitializeTableFromTextFile", "InitializeTableFromTextFileV2",
        "WholeFileReader", "WholeFileReaderV2", "TextLineReader", "TextLineReaderV2",
        "TFRecordReader", "TFRecordReaderV2", "FixedLengthRecordReader", "FixedLengthRecordReaderV2", "LMDBReader",
        "ImmutableConst", "LoadAndRemapMatrix", "GenerateVocabRemapping", "CheckpointHasKey",
        "TextLineDataset", "TFRecordDataset", "TFRecordDatasetV2", "FixedLengthRecordDataset",
        "FixedLengthRecordDatasetV2", "CSVDataset", "CSVDatasetV2", "SqlDataset", "LMDBDataset",
        "MatchingFilesDataset", "CacheDataset", "CacheDatasetV2", "SaveDataset", "SaveDatasetV2", "LoadDataset",
        "SnapshotDataset", "SnapshotDatasetV2", "DatasetToTFRecord", "ExperimentalDatasetToTFRecord",
        "ExperimentalCSVDataset", "ExperimentalLMDBDataset", "RecordInput", "FixedUnigramCandidateSampler",
        "SnapshotChunkDataset", "SnapshotDatasetReader", "ListSnapshotChunksDataset", "DistributedSave",
        "DecodeProtoV2", "EncodeProto",
        # logs and debuggers, which write to paths or addresses that the graph names
        "CreateSummaryFileWriter", "CreateSummaryDbWriter", "WriteSummary", "WriteRawProtoSummary", "WriteGraphSummary",
        "WriteScalarSummary", "WriteHistogramSummary", "WriteImageSummary", "WriteAudioSummary", "ImportEvent",
        "DebugIdentity", "DebugIdentityV2", "DebugIdentityV3", "DebugNanCount", "DebugNumericSummary",
        "DebugNumericSummaryV2",
        # connections
        "RpcCall", "RpcClient", "RpcServer", "RpcServerStart", "RpcServerRegister", "DataServiceDataset",
        "DataServiceDatasetV2", "DataServiceDatasetV3", "DataServiceDatasetV4", "RegisterDataset", "RegisterDatasetV2",
        "BigQueryReader", "RemoteCall", "RemoteFusedGraphExecute", "Send", "Recv",
        # Python and other programs
        "PyFunc", "PyFuncStateless", "EagerPyFunc", "GeneratorDataset", "XlaHostCompute",
        "TensorRTEngineOp", "TRTEngineOp",
    }
)  # fmt: skip


def touches_outside(kind: str, output_streams: Sequence[bytes] = ()) -> bool:
    """Whether an operator of this kind counts. PrintV2 does where its stream is a file instead of the log."""
    if kind == "PrintV2":
        return any(stream.startswith(b"file:") for stream in output_streams)
    return kind in OUTSIDE_OPS
