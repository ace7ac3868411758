package layout

import (
	"errors"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Payloads that are not what was stored are in a journal, by what names their bytes:
//
//	x  q │ payload generation 24      Damage

// DamageKey is the key of the entry of a damaged payload.
func DamageKey(payload objects.Generation) []byte {
	return payload.AppendTo([]byte{KindJournal, journalDamage})
}

// ParseDamageKey reads what DamageKey wrote; anything else is errs.Corrupt.
func ParseDamageKey(key []byte) (payload objects.Generation, err error) {
	if len(key) != 2+objects.GenerationBytes || key[0] != KindJournal || key[1] != journalDamage {
		return payload, badKey("layout.ParseDamageKey", key, errors.New("it is too short, or of another kind"))
	}
	return objects.GenerationOf(key[2:])
}

// DamageBounds returns the range [lower, upper) of the keys that DamageKey makes.
func DamageBounds() (lower, upper []byte) { return prefixBounds([]byte{KindJournal, journalDamage}) }

// Damage is a payload, or a part of one, that is not what was stored.
type Damage struct {
	Key      objects.Key
	Payload  objects.Generation // also in the key of the entry
	UploadID string             // of a part; empty: it is no part
	Part     int                // number of the part; 0: it is no part
	Reason   string
	Found    time.Time // by the wall clock of the node
	Path     string    // where the file was; empty: it was not put aside
}

// Fields of message Damage.
const (
	damageObject  protowire.Number = 1
	damagePayload protowire.Number = 2
	damageUpload  protowire.Number = 3
	damagePart    protowire.Number = 4
	damageReason  protowire.Number = 5
	damageFound   protowire.Number = 6
	damagePath    protowire.Number = 7
)

// AppendDamage appends the value of a DamageKey.
func AppendDamage(dst []byte, d *Damage) []byte {
	start := len(dst)
	dst = append(dst, ValueVersion)
	dst = appendKey(dst, damageObject, &d.Key)
	dst = appendGeneration(dst, damagePayload, d.Payload)
	dst = appendText(dst, damageUpload, d.UploadID)
	dst = appendInt(dst, damagePart, int64(d.Part))
	dst = appendText(dst, damageReason, d.Reason)
	dst = appendTime(dst, damageFound, d.Found)
	dst = appendText(dst, damagePath, d.Path)
	return seal(dst, start)
}

// DecodeDamage reads what AppendDamage wrote.
func DecodeDamage(b []byte) (*Damage, error) {
	const op errs.Op = "layout.DecodeDamage"
	c, err := openCopy(op, ValueVersion, b)
	if err != nil {
		return nil, err
	}
	d := new(Damage)
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case damageObject:
			c.key(form, &d.Key)
		case damagePayload:
			d.Payload = c.generation(form)
		case damageUpload:
			d.UploadID = c.text(form)
		case damagePart:
			d.Part = int(c.int(form))
		case damageReason:
			d.Reason = c.text(form)
		case damageFound:
			d.Found = c.time(form)
		case damagePath:
			d.Path = c.text(form)
		default:
			c.skip(field, form)
		}
	}
	if err := c.close(op); err != nil {
		return nil, err
	}
	return d, nil
}

// CheckDamage checks an entry of the journal, as an offline check does; an entry of
// another journal passes.
func CheckDamage(key, value []byte) error {
	if len(key) < 2 || key[0] != KindJournal || key[1] != journalDamage {
		return nil
	}
	if _, err := ParseDamageKey(key); err != nil {
		return err
	}
	_, err := DecodeDamage(value)
	return err
}
