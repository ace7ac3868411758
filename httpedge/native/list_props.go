package native

import (
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/ais"
)

// listProps is a set of what entries of a listing tell.
type listProps uint16

const (
	listName listProps = 1 << iota
	listSize
	listVersion
	listChecksum
	listAtime
	listCopies
	listCustom
	listLocation
	listStatus // cached, status, ec: in an entry's flags, or of nothing that there is
)

func (p listProps) has(one listProps) bool { return p&one != 0 }

// whole reports whether the properties need whole records, which cost more.
func (p listProps) whole() bool { return p&(listVersion|listChecksum|listCustom) != 0 }

// parseListProps reads the names of properties, separated by commas. None: what
// the flags ask.
func parseListProps(list string, flags uint64) (listProps, error) {
	var props listProps
	for _, name := range csv(list) {
		switch name {
		case "name":
			props |= listName
		case "size":
			props |= listSize
		case "version":
			props |= listVersion
		case "checksum":
			props |= listChecksum
		case "atime":
			props |= listAtime
		case "copies":
			props |= listCopies
		case "custom":
			props |= listCustom
		case "location", "target_url", "node": // the names that the package has for it
			props |= listLocation
		case "cached", "status", "ec":
			props |= listStatus
		default:
			return 0, Refuse(fasthttp.StatusBadRequest, "", "invalid property %q of a listing", name)
		}
	}
	switch {
	case flags&ais.ListNameOnly != 0:
		return listName, nil
	case flags&ais.ListNameSize != 0:
		return listName | listSize, nil
	case props == 0 && flags&ais.ListCached != 0:
		return listName | listSize | listChecksum | listAtime, nil
	case props == 0:
		return listName | listSize, nil
	}
	return props, nil
}

// checkListFlags refuses what a listing cannot do. Every bucket that is found here has all
// its objects in the cluster, so that the flags about backends ask nothing of it:
// ListCached is true of every object, ListBucketPresent of the bucket, and ListDiff finds
// no difference. ListMissing and ListDeleted add nothing, since copies, leftovers and
// delete markers are no objects; ListNoDirs leaves out nothing, since what
// ListNoRecursion rolls up here is told all the same; ListInternal and ListS3 say who asks.
func checkListFlags(bucket ais.Bucket, flags uint64) error {
	switch {
	case flags>>ais.ListFlags != 0:
		return Refuse(fasthttp.StatusBadRequest, "", "invalid flags %d of a listing", flags)
	case flags&ais.ListNotCached != 0:
		return Refuse(fasthttp.StatusBadRequest, "", "bucket %q has no backend: every object is in the cluster", bucket)
	case flags&ais.ListInventory != 0:
		return noInventory(bucket, "flag "+strconv.Itoa(ais.ListInventory))
	case flags&ais.ListArchives != 0:
		return notImplemented("listing the content of archives")
	}
	return nil
}

// noInventory refuses to list a bucket through what only remote buckets have.
func noInventory(bucket ais.Bucket, asked string) *Refusal {
	return Refuse(fasthttp.StatusBadRequest, "", "bucket %q has no backend: it has no inventory to list (%s)", bucket, asked)
}
