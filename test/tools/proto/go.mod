// What generates Go code from messages/wire/*.proto, pinned. A module of its own
// keeps the compiler out of the product's go.mod.
module github.com/troupe-storage/troupe/test/tools/proto

go 1.26.8

require (
	github.com/bufbuild/protocompile v0.14.1
	github.com/planetscale/vtprotobuf v0.6.0
	google.golang.org/protobuf v1.36.12
)

require golang.org/x/sync v0.8.0 // indirect
