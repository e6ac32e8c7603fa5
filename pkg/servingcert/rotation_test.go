// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package servingcert

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/util/keyutil"
)

var defaultPolicy = policy{service: testService, caValidity: DefaultCAValidity, leafValidity: DefaultLeafValidity}

// secretOf returns the data of a Secret with an authority and a bundle.
func secretOf(t *testing.T, a *authority, bundle ...*x509.Certificate) map[string][]byte {
	t.Helper()
	key, err := keyutil.MarshalPrivateKeyToPEM(a.key)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"tls.crt": encode(a.certificate), "tls.key": key, "ca.crt": encode(bundle...)}
}

func with(data map[string][]byte, key, value string) map[string][]byte {
	data[key] = []byte(value)
	return data
}

// notACA returns an authority whose certificate is not a CA.
func notACA(t *testing.T) *authority {
	t.Helper()
	key := mustAuthority(t, testService, time.Hour, start).key
	template := &x509.Certificate{NotBefore: start.Add(-time.Hour), NotAfter: start.Add(time.Hour)}
	certificate, err := sign(template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{certificate, key}
}

func TestRotation_NextStep(t *testing.T) {
	const day = 24 * time.Hour
	young := mustAuthority(t, testService, DefaultCAValidity, start.Add(-100*day))
	fresh := mustAuthority(t, testService, DefaultCAValidity, start.Add(-time.Hour))
	old := mustAuthority(t, testService, DefaultCAValidity, start.Add(-250*day))
	expired := mustAuthority(t, testService, DefaultCAValidity, start.Add(-366*day))
	future := mustAuthority(t, testService, DefaultCAValidity, start.Add(time.Hour))
	elsewhere := mustAuthority(t, Service{Namespace: "elsewhere", Name: "postern"}, DefaultCAValidity, start)
	cert := func(a *authority) *x509.Certificate { return a.certificate }
	none := notACA(t)

	for _, test := range []struct {
		name   string
		state  state
		action action
		cause  string
		// bundle are the authorities in the written bundle, after the new one if there is one.
		bundle []*x509.Certificate
	}{
		{"no Secret", state{}, actionCreate, "", nil},
		{"no Secret, but leaves in use", state{inUse: []*x509.Certificate{cert(young)}}, actionCreate, "",
			[]*x509.Certificate{cert(young)}},
		{"no Secret, and an expired authority in use", state{inUse: []*x509.Certificate{cert(expired)}}, actionCreate,
			"", nil},
		{"an empty Secret", state{secret: map[string][]byte{}}, actionRepair, "could not read", nil},
		{"garbage", state{secret: map[string][]byte{"tls.crt": []byte("x"), "tls.key": []byte("y"),
			"ca.crt": []byte("z")}, inUse: []*x509.Certificate{cert(young)}},
			actionRepair, "could not read", []*x509.Certificate{cert(young)}},
		{"a garbled key with a valid bundle", state{secret: with(secretOf(t, young, cert(young)), "tls.key", "y")},
			actionRepair, "could not read", []*x509.Certificate{cert(young)}},
		{"the key of another", state{secret: with(secretOf(t, young, cert(young)), "tls.key",
			string(secretOf(t, old)["tls.key"]))}, actionRepair, "could not read", []*x509.Certificate{cert(young)}},
		{"an expired one", state{secret: secretOf(t, expired, cert(expired))}, actionRepair, "expired", nil},
		{"one that is not valid yet", state{secret: secretOf(t, future)}, actionRepair, "not yet valid", nil},
		{"one for another Service", state{secret: secretOf(t, elsewhere, cert(elsewhere))}, actionRepair,
			"not permitted", []*x509.Certificate{cert(elsewhere)}},
		{"no authority", state{secret: secretOf(t, none, cert(none))}, actionRepair, "could not use", nil},
		{"an old one", state{secret: secretOf(t, old, cert(old))}, actionRenew, "", []*x509.Certificate{cert(old)}},
		{"an old one with the previous one", state{secret: secretOf(t, old, cert(old), cert(young))}, actionRenew, "",
			[]*x509.Certificate{cert(old), cert(young)}},

		{"a bundle without the signing authority", state{secret: secretOf(t, young)}, actionUpdateBundle, "",
			[]*x509.Certificate{cert(young)}},
		{"a bundle of garbage", state{secret: with(secretOf(t, young), "ca.crt", "z")}, actionUpdateBundle, "",
			[]*x509.Certificate{cert(young)}},
		{"an expired one in the bundle", state{secret: secretOf(t, fresh, cert(fresh), cert(expired))},
			actionUpdateBundle, "", []*x509.Certificate{cert(fresh)}},
		{"the previous one, whose leaves have expired", state{secret: secretOf(t, young, cert(young), cert(old))},
			actionUpdateBundle, "", []*x509.Certificate{cert(young)}},
		{"replaced by another writer, while leaves of ours are in use",
			state{secret: secretOf(t, young, cert(young)), inUse: []*x509.Certificate{cert(old)}},
			actionUpdateBundle, "", []*x509.Certificate{cert(young), cert(old)}},

		{"no APIService", state{secret: secretOf(t, young, cert(young))}, actionNone, "", nil},
		{"an APIService without caBundle", state{secret: secretOf(t, young, cert(young)), registered: true},
			actionPublish, "", []*x509.Certificate{cert(young)}},
		{"garbage in the caBundle", state{secret: secretOf(t, young, cert(young)), registered: true,
			caBundle: []byte("z")}, actionPublish, "", []*x509.Certificate{cert(young)}},
		{"one too many in the caBundle", state{secret: secretOf(t, young, cert(young)), registered: true,
			caBundle: encode(cert(young), cert(old))},
			actionPublish, "", []*x509.Certificate{cert(young)}},
		{"current", state{secret: secretOf(t, young, cert(young)), registered: true, caBundle: encode(cert(young)),
			inUse: []*x509.Certificate{cert(young)}}, actionNone, "", nil},
		{"current, during a rotation", state{
			secret: secretOf(t, fresh, cert(fresh), cert(old)), registered: true,
			caBundle: encode(cert(fresh), cert(old)), inUse: []*x509.Certificate{cert(old)},
		}, actionNone, "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := defaultPolicy.next(test.state, start)
			if err != nil {
				t.Fatal(err)
			}
			if got.action != test.action {
				t.Fatalf("got action %s, want %s", got.action, test.action)
			}
			if cause := errorText(got.cause); !strings.Contains(cause, test.cause) ||
				(cause == "") != (test.cause == "") {
				t.Errorf("got cause %q, want %q", cause, test.cause)
			}
			want := test.bundle
			bundle := got.caBundle
			if got.secret != nil {
				bundle = got.secret["ca.crt"]
			}
			if created := newIn(t, got); created != nil {
				want = append([]*x509.Certificate{created}, want...)
			}
			if diff := cmp.Diff(string(encode(want...)), string(bundle)); diff != "" {
				t.Errorf("bundle (-want +got):\n%s", diff)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// newIn returns the new authority that a step stores, or nil, and checks it.
func newIn(t *testing.T, s step) *x509.Certificate {
	t.Helper()
	if s.action != actionCreate && s.action != actionRepair && s.action != actionRenew {
		return nil
	}
	created, err := defaultPolicy.authorityIn(s.secret, start)
	if err != nil {
		t.Fatalf("the new authority can't be used: %v", err)
	}
	if want := start.Add(DefaultCAValidity); !created.certificate.NotAfter.Equal(want) {
		t.Errorf("the new authority is valid until %s, want %s", created.certificate.NotAfter, want)
	}
	return created.certificate
}

// The steps must reach a fixed point, otherwise two replicas would write in turn without end.
func TestRotation_StepIsIdempotent(t *testing.T) {
	old := mustAuthority(t, testService, DefaultCAValidity, start.Add(-250*24*time.Hour))
	s := state{secret: secretOf(t, old), registered: true}
	var taken []action
	for len(taken) < 10 {
		step, err := defaultPolicy.next(s, start)
		if err != nil {
			t.Fatal(err)
		}
		if step.action == actionNone {
			break
		}
		taken = append(taken, step.action)
		if step.secret != nil {
			s.secret = step.secret
		} else {
			s.caBundle = step.caBundle
		}
	}
	if diff := cmp.Diff([]action{actionRenew, actionPublish}, taken); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

func TestRotation_PreviousIssuerUntilLeavesExpire(t *testing.T) {
	old := mustAuthority(t, testService, DefaultCAValidity, start.Add(-250*24*time.Hour))
	renewed, err := defaultPolicy.next(state{secret: secretOf(t, old, old.certificate)}, start)
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]action{
		0:                                 actionNone,
		DefaultLeafValidity:               actionNone,
		DefaultLeafValidity + time.Minute: actionUpdateBundle,
		100 * 24 * time.Hour:              actionUpdateBundle,
	} {
		got, err := defaultPolicy.next(state{secret: renewed.secret}, start.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		if got.action != want {
			t.Errorf("%s later: got action %s, want %s", after, got.action, want)
		}
	}
}

func TestRotation_KeepsOtherKeysOfSecret(t *testing.T) {
	got, err := defaultPolicy.next(state{secret: map[string][]byte{"note": []byte("theirs")}}, start)
	if err != nil {
		t.Fatal(err)
	}
	if string(got.secret["note"]) != "theirs" {
		t.Errorf("got note %q, want it unchanged", got.secret["note"])
	}
}

func TestRotation_ErrorsHideKeys(t *testing.T) {
	data := secretOf(t, mustAuthority(t, testService, time.Hour, start))
	key := string(data["tls.key"])
	for name, broken := range map[string]map[string][]byte{
		"no certificate": {"tls.key": []byte(key)},
		"half a key": {"tls.crt": data["tls.crt"],
			"tls.key": []byte(key[:len(key)/2] + "\n-----END EC PRIVATE KEY-----\n")},
		"reversed": {"tls.crt": []byte(key), "tls.key": data["tls.crt"]},
	} {
		_, err := defaultPolicy.authorityIn(broken, start)
		if err == nil {
			t.Errorf("%s is accepted", name)
			continue
		}
		for line := range strings.Lines(key) {
			if !strings.HasPrefix(line, "-----") && strings.Contains(err.Error(), strings.TrimSpace(line)) {
				t.Errorf("%s: the key is in the error", name)
			}
		}
	}
}
