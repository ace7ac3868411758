package native

import (
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// parseUname reads the unique name of an object, "ais/@#/bucket/dir/obj", out of a field.
func parseUname(field, uname string) (target, error) {
	bad := Refuse(fasthttp.StatusBadRequest, "", "invalid %s %q: it is written PROVIDER/@UUID#NAMESPACE/BUCKET/OBJECT", field, uname)
	parts := strings.SplitN(uname, "/", 4)
	if len(parts) != 4 || parts[2] == "" || parts[3] == "" {
		return target{}, bad
	}
	provider, ok := ais.ParseProvider(parts[0])
	namespace, err := parseNamespace(parts[1])
	if !ok || err != nil || parts[1] == "" {
		return target{}, bad
	}
	t := target{bucket: ais.Bucket{Name: parts[2], Provider: provider, Namespace: namespace}, name: parts[3]}
	if len(t.name) > objects.MaxNameBytes {
		return target{}, bad
	}
	return t, checkNewName(t)
}

// copyObject copies an object under another name, perhaps in another bucket. The
// bytes are read and written again, for two objects never share a file.
func copyObject(r *Request) error {
	from, err := r.object()
	if err != nil {
		return err
	}
	if err := r.plain(); err != nil {
		return err
	}
	to, err := parseUname("object_to", r.Query("object_to"))
	if err != nil {
		return err
	}
	source, err := r.find(from.bucket)
	if err != nil {
		return err
	}
	destination, err := r.find(to.bucket)
	if err != nil {
		return err
	}
	object, err := r.h.Gateway.Open(r.Context(), source, from.name, "")
	if err != nil {
		return explain(err, from)
	}
	defer object.Close()
	meta := object.Meta
	receipt, err := r.h.Gateway.Put(r.Context(), destination, &gateway.Put{
		Name: to.name, Draft: objects.Draft{Headers: meta.Headers, User: meta.User, Tags: meta.Tags},
		Size: meta.Size, Body: object.Reader(0, meta.Size), Sums: []checksum.Algorithm{checksum.CRC64NVME}, Copies: true,
	})
	if err != nil {
		return explain(err, to)
	}
	r.stored(destination, receipt.Meta)
	return nil
}
