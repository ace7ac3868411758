// Package archive reads and writes shards: objects that are archives. It lists their members,
// opens one by name or those that a pattern chooses, makes an index by which a member is
// found without looking for it, appends to a shard, and makes one.
//
//	.tar      │ header │ content… │ header │ content… │ trailer │
//	.tar.gz   the same, in gzip members          ╮ what comes out is the tape:
//	.tar.lz4  the same, in LZ4 frames of blocks  ╯ offsets count its bytes
//	.zip      │ local header │ content, deflated… │ … │ directory │ end │
//
// A Reader goes through a shard from front to back, and holds one member at a time. From
// ranges (an io.ReaderAt) it skips the contents of a tar, and reads of a zip the directory;
// from a stream it reads a tar whole. An Index is kept beside a shard, bound to its payload
// by a Stamp: with it the content of a tar's member is one range, a zip's member is two
// steps, and a compressed tar is entered at a restart point, of which there is one in every
// MiB where the shard has them:
//
//	tape    │ member │ mem│ber │ member      │ member │
//	points  ▲             ▲                  ▲
//
// A tar.gz has them where a gzip member begins, and one made here has them within its only
// one, since a Writer lets deflate begin anew there: the index that the Writer gives knows,
// one that is built from such a shard by reading does not. A tar.lz4 has one wherever a block
// is that does not refer back.
//
// Promises:
//
//   - Memory does not grow with a shard, nor with what an archive claims. A Reader takes some
//     tens of KiB and what one member's names and headers take, at most a few MiB; of a tar.lz4
//     two blocks, up to 8 MiB. What it leaves to the collector goes by what it was given, and
//     of a compressed tar by what comes out of it. An Index and the directory of a zip that is written grow with the
//     names.
//   - What comes out of a member has the length that is said, or ends in an error; of a zip
//     it has the checksum, too. How much may be unpacked is for Limits to say.
//   - An index that is damaged, misspelled, or of another payload is refused.
//   - Names are names: nothing here makes a path of one, and what is written has none that
//     leads out (NameToWrite). Links are never followed, sparse files never filled up.
//   - Of two members of one name the first is found, by a Reader as by an Index. Appending
//     under a name that is there does not replace it.
//
// Nothing here starts goroutines or knows of files. What is read from is the caller's, with
// its errors, and so is giving up in the middle: a caller's reader that fails ends a Reader.
//
// Start with format.go, then reader.go, index.go, writer.go, append.go.
package archive
