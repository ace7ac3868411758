package native

import (
	"errors"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
)

// objectBytes bounds what one request may put: AIStore's max_monolithic_size.
const objectBytes = 1 << 40

// objectsPath is where objects are.
const objectsPath = "/v1/objects"

// objectRoutes answers everything below /v1/objects.
func objectRoutes(r *Request) error {
	if answered, err := r.elsewhere(); answered || err != nil {
		return err
	}
	return Verbs{get: getObject, head: headObject, put: putRoutes, post: postObject, patch: patchObject, remove: deleteObject}.Handle(r)
}

// notImplemented refuses what is asked by a parameter that AIStore knows.
func notImplemented(what string) *Refusal {
	return Refuse(fasthttp.StatusNotImplemented, typeNotImplemented, "%s is not implemented", what)
}

// plain refuses the parameters that ask a write for something else than the object's own
// bytes: members of archives and transforms. Clients send them empty.
func (r *Request) plain() error {
	for _, name := range []string{"archpath", "archregx", "archmode"} {
		if r.Query(name) != "" {
			return notImplemented("writing inside archives (" + name + ")")
		}
	}
	return r.untransformed()
}

// untransformed refuses the parameters that ask for a transform.
func (r *Request) untransformed() error {
	for _, name := range []string{"etl_name", "etl_pipeline"} {
		if r.Query(name) != "" {
			return notImplemented("transformation (" + name + ")")
		}
	}
	return nil
}

// deleteObject removes an object; one that is not there is 404.
func deleteObject(r *Request) error {
	message, err := r.action()
	if err != nil {
		return err
	}
	switch message.Action {
	case "":
	case ais.ActionAbortParts:
		return abortParts(r)
	case ais.ActionEvictList:
		t, err := r.object()
		if err != nil {
			return err
		}
		return Refuse(fasthttp.StatusBadRequest, "", "bucket %q has no backend to evict to", t.bucket)
	default:
		return unknown(message.Action)
	}
	t, err := r.object()
	if err != nil {
		return err
	}
	doc, err := r.find(t.bucket)
	if err != nil {
		return err
	}
	deleted, err := r.h.Gateway.Delete(r.Context(), doc, t.name, "", objects.Conditions{})
	if err == nil && !deleted.Existed {
		err = objects.ErrNoSuchKey
	}
	return explain(err, t)
}

// patchObject changes an object's custom metadata.
func patchObject(r *Request) error {
	message, err := r.action()
	if err != nil {
		return err
	}
	var values map[string]string
	if err := r.value(message, &values); err != nil {
		return err
	}
	t, err := r.object()
	if err != nil {
		return err
	}
	replace, err := r.Flag("set-new-custom")
	if err != nil {
		return err
	}
	set, err := customOf(values)
	if err != nil {
		return err
	}
	doc, err := r.find(t.bucket)
	if err != nil {
		return err
	}
	_, err = r.h.Gateway.ChangeDraft(r.Context(), doc, t.name, messages.DraftChange{User: set, ReplaceUser: replace, MaxUserBytes: customBytes})
	if errors.Is(err, objects.ErrUserTooLarge) {
		return tooMuchCustom()
	}
	return explain(err, t)
}

// postObject begins and completes multipart uploads; nothing else is implemented.
func postObject(r *Request) error {
	message, err := r.action()
	if err != nil {
		return err
	}
	switch message.Action {
	case ais.ActionStartParts:
		return startParts(r)
	case ais.ActionCompleteParts:
		return completeParts(r, message)
	}
	return unknown(message.Action)
}

// describe sets the headers that tell of an object wherever it is answered with:
// checksum, access time, version, custom metadata.
func (r *Request) describe(doc *objects.BucketDoc, meta *objects.Meta) {
	r.setChecksum(meta)
	r.setAtime(meta)
	r.setVersion(doc, meta)
	r.setCustom(meta)
}

// setChecksum tells the checksum of the payload. An object of several parts has
// none of its whole, unless its uploader gave one.
func (r *Request) setChecksum(meta *objects.Meta) {
	if kind, value := checksumOf(meta); kind != "" {
		r.set("Ais-Checksum-Type", kind)
		r.set("Ais-Checksum-Value", value)
	}
}

// setAtime tells when the object was last accessed, as far as that is kept: when
// it was written.
func (r *Request) setAtime(meta *objects.Meta) {
	r.set("Ais-Atime", strconv.FormatInt(meta.Modified.UnixNano(), 10))
}

func (r *Request) setVersion(doc *objects.BucketDoc, meta *objects.Meta) {
	if v := version(doc, meta); v != "" {
		r.set("Ais-Version", v)
	}
}

// version is the count of writes; empty where the bucket hides it, or the object
// is older than the count.
func version(doc *objects.BucketDoc, meta *objects.Meta) string {
	if doc.Props.HideWrites || meta.Writes == 0 {
		return ""
	}
	return strconv.FormatUint(meta.Writes, 10)
}

func (r *Request) setCustom(meta *objects.Meta) {
	for _, p := range meta.User {
		r.ctx.Response.Header.Add("Ais-Custom-Md", p.Name+"="+p.Value)
	}
}

// location is where a name is, as AIStore writes it: "t[ID]:/mountpath"; at another node
// "t[ID]".
func (h *Handler) location(doc *objects.BucketDoc, name string) string {
	if at := h.Gateway.Whereabouts(doc, name); !at.Here {
		return targetName(at.InCharge)
	}
	return "t[" + h.targetID() + "]:" + h.Gateway.Location(doc, name)
}

// targetName is a node as AIStore writes it.
func targetName(node string) string { return "t[" + targetPrefix + node + "]" }

// mirrored is where the copies of a name are, the one in charge first: the mountpath of
// this node's own, and the names of the other nodes.
func (h *Handler) mirrored(doc *objects.BucketDoc, name string) []string {
	at := h.Gateway.Whereabouts(doc, name)
	copies := []string{targetName(at.InCharge)}
	if at.Here {
		copies[0] = h.Gateway.Location(doc, name)
	}
	for _, node := range at.Others {
		copies = append(copies, targetName(node))
	}
	return copies
}

// csv cuts a list of names at commas, without blanks around them and without
// empty ones.
func csv(list string) []string {
	var names []string
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}
