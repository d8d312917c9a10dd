// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Checkpoints of transparency logs
/// @notice Keeps, for each log, the sizes and roots that one publisher wrote down, in the order in
/// which they came and with the chain's own time. Nothing is ever changed or removed: there is no
/// owner, no upgrade and no way out. Only hashes and counts come here, never an entry.
/// @dev Whether a root extends the one before it cannot be checked here: whoever reads compares
/// each of them with the log (ledger_anchor/external/base.py).
contract Checkpoints {
    struct Checkpoint {
        uint64 size;
        uint64 time;
        uint64 blockNumber;
        bytes32 root;
    }

    /// @notice The only account that may publish: whoever deployed the contract.
    /// @dev In storage and not `immutable`, so that the code on the chain is, byte for byte, the
    /// code of the committed artifact, and a reader can compare them.
    address public publisher;

    /// SHA-256 of a log's origin => its checkpoints, the oldest first.
    mapping(bytes32 => Checkpoint[]) private checkpoints;

    event Published(bytes32 indexed originHash, uint256 index, uint64 size, bytes32 root);

    error NotPublisher(address expected, address found);
    error SizeMustGrow(uint64 newest, uint64 found);
    error NothingPublished(bytes32 originHash);

    constructor() {
        publisher = msg.sender;
    }

    /// @notice Write down a checkpoint; its size must be above that of the one before it.
    /// @param originHash SHA-256 of the log's origin line, without its line end.
    /// @param size number of entries; at least 1.
    /// @param root root hash of the log at that size.
    function publish(bytes32 originHash, uint64 size, bytes32 root) external {
        if (msg.sender != publisher) revert NotPublisher(publisher, msg.sender);
        Checkpoint[] storage list = checkpoints[originHash];
        uint64 newest = list.length == 0 ? 0 : list[list.length - 1].size;
        if (size <= newest) revert SizeMustGrow(newest, size);
        list.push(Checkpoint(size, uint64(block.timestamp), uint64(block.number), root));
        emit Published(originHash, list.length - 1, size, root);
    }

    /// @notice How many checkpoints of a log there are.
    function count(bytes32 originHash) external view returns (uint256) {
        return checkpoints[originHash].length;
    }

    /// @notice The newest checkpoint of a log.
    function latest(bytes32 originHash) external view returns (Checkpoint memory) {
        Checkpoint[] storage list = checkpoints[originHash];
        if (list.length == 0) revert NothingPublished(originHash);
        return list[list.length - 1];
    }

    /// @notice One checkpoint of a log, counted from 0, the oldest first.
    function entry(bytes32 originHash, uint256 index) external view returns (Checkpoint memory) {
        return checkpoints[originHash][index];
    }

    /// @notice Up to `limit` checkpoints of a log from `first` on, the oldest first.
    function page(bytes32 originHash, uint256 first, uint256 limit)
        external
        view
        returns (Checkpoint[] memory found)
    {
        Checkpoint[] storage list = checkpoints[originHash];
        uint256 there = list.length > first ? list.length - first : 0;
        found = new Checkpoint[](there < limit ? there : limit);
        for (uint256 i = 0; i < found.length; i++) {
            found[i] = list[first + i];
        }
    }
}
